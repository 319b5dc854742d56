import { constants, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/**
 * The rule for everything that this process writes: if an output fails, only what was written to it is lost. Requests are
 * still served, signals are still handled, and the exit code stays the same. In detail:
 *
 * - A write fails (full disk, reader gone): no exception and no `error` event may end the process.
 * - A write would block (a pipe that nobody reads, a stopped terminal): it must not block the main thread. It must not
 *   block a thread of libuv's pool either, since `process.exit` waits for those. So `fs.write` is for regular files only.
 * - This lasts for hours: the bytes that wait are bounded. Lines beyond the bound are dropped and counted.
 * - The output works again: a line says what was lost and why, and from then on nothing is missing.
 *
 * This class follows the rule for lines. Any other output needs a form of its own.
 */
export class LineOutput {
  /** Called when an output that lost lines works again, before the next line is written. */
  onRecovery: (loss: Loss) => void = () => undefined;

  private readonly writeSome: WriteSome;
  private readonly waiting: Buffer[] = [];
  private waitingBytes = 0;
  /** Of the first line that waits, how much has been written. */
  private writtenBytes = 0;
  private lost = 0;
  private why = '';
  private retryTimer: NodeJS.Timeout | undefined;

  constructor(writeSome: WriteSome) {
    this.writeSome = writeSome;
  }

  /** Writes a line, or keeps it until it can be written, or counts it as lost. Never waits, never throws. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    const isFull = this.waiting.length > 0 && this.waitingBytes + bytes.length > MAX_WAITING_BYTES;
    // After a lost line, all lines are dropped until the loss is reported. So the report stands where lines are missing.
    if (this.lost > 0 || isFull) {
      this.lost++;
      return;
    }
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (this.retryTimer === undefined) this.flushSync();
  }

  /** Writes as much as goes without waiting. Pino calls it after a fatal error. */
  flushSync(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    try {
      this.writeWaiting();
    } catch (error) {
      this.why = reasonOf(error);
      this.retryTimer = setTimeout(() => this.flushSync(), RETRY_INTERVAL_MS).unref();
    }
  }

  /** Gives a slow reader time to take what waits, before the process ends. */
  async drain(maxMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setInterval(() => this.waiting.length === 0 && resolve(), DRAIN_INTERVAL_MS);
    const deadline = setTimeout(resolve, maxMs);
    if (this.waiting.length > 0) await promise;
    clearInterval(timer);
    clearTimeout(deadline);
  }

  private writeWaiting(): void {
    while (this.waiting.length > 0) {
      const [line] = this.waiting;
      const taken = this.writeSome(line.subarray(this.writtenBytes));
      if (taken === 0) throw new Error('it takes nothing');
      this.writtenBytes += taken;
      if (this.writtenBytes < line.length) continue;
      this.waiting.shift();
      this.waitingBytes -= line.length;
      this.writtenBytes = 0;
    }
    if (this.lost === 0) return;
    const loss = { lines: this.lost, why: this.why };
    this.lost = 0;
    this.onRecovery(loss);
  }
}

export interface Loss {
  readonly lines: number;
  /** For a person to read. */
  readonly why: string;
}

/** Writes what goes without waiting. @returns how many bytes that was. @throws the system's error when it was none. */
export type WriteSome = (bytes: Uint8Array) => number;

const MAX_WAITING_BYTES = 256 * 2 ** 10;
const RETRY_INTERVAL_MS = 100;
const DRAIN_INTERVAL_MS = 10;

const REASONS: Readonly<Record<string, string>> = {
  EAGAIN: 'nobody read them',
  EPIPE: 'their reader had gone',
  ENOSPC: 'the disk was full',
  EDQUOT: 'the disk quota was used up',
  EFBIG: 'the file had reached its largest size',
  EIO: 'the disk or the terminal failed',
};

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, message } = error as NodeJS.ErrnoException;
  return code !== undefined && code in REASONS ? `${REASONS[code]} (${code})` : message;
}

/**
 * Standard output or standard error, so that no write waits.
 *
 * Pipes and sockets: libuv makes them non-blocking when Node opens its stream on them (`uv_pipe_open`), and Node sets them
 * back when the process ends. This holds for what Node and V8 themselves write there, too.
 * Terminals: opened anew, since Node's stream on one blocks. Where the system has no such path they stay as they are.
 * Files: have nothing to wait for but the disk.
 */
export function standardOutput(fd: 1 | 2): LineOutput {
  const stream = fd === 1 ? process.stdout : process.stderr;
  stream.on('error', () => undefined);
  const handle = isatty(fd) ? reopened(fd) : fd;
  const output = new LineOutput((bytes) => writeSync(handle, bytes));
  process.on('exit', () => output.flushSync());
  return output;
}

function reopened(fd: number): number {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return fd;
  }
}
