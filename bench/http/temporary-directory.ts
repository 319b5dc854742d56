import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new directory that is gone when this process is, however it ends short of SIGKILL. */
export function temporaryDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `bench-${name}-`));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
