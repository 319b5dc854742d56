import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A pipe with a name, which the test reads or not. */
export class Fifo {
  readonly path: string;
  private reader: number | undefined;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'key-value-cache-'));
    this.path = join(folder, 'pipe');
    execFileSync('mkfifo', [this.path]);
    this.reader = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
    onTestFinished(() => {
      this.stopReading();
      rmSync(folder, { recursive: true });
    });
  }

  /** Takes all that is in it. */
  read(): string {
    const buffer = Buffer.alloc(2 ** 16);
    let text = '';
    for (;;) {
      const length = attempt(() => readSync(this.reader!, buffer));
      if (length === 0) return text;
      text += buffer.toString('latin1', 0, length);
    }
  }

  /** Writes until nothing more goes in. */
  fill(): void {
    const writer = openSync(this.path, constants.O_WRONLY | constants.O_NONBLOCK);
    for (const size of [4096, 1]) while (attempt(() => writeSync(writer, 'x'.repeat(size))) > 0);
    closeSync(writer);
  }

  stopReading(): void {
    if (this.reader !== undefined) closeSync(this.reader);
    this.reader = undefined;
  }
}

/** @returns 0 where there is nothing to be had at the moment. */
function attempt(operation: () => number): number {
  try {
    return operation();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    return 0;
  }
}
