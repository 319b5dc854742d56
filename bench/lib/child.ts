import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { atExit } from './process.ts';

/** What a measurement needs of Node: the collector on demand, and room for a large `Map`. */
const NODE_FLAGS = ['--expose-gc', '--max-old-space-size=12288'];
/** The server starts itself with this; see `heapFlags` in `src/config`. */
const SERVER_FLAG = '--no-parallel-scavenge';
/** Makes glibc give freed blocks back to the system at once (ADR 1). */
const ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: '131072' };
export const SERVER_SETUP = `${SERVER_FLAG} and ${Object.entries(ALLOCATOR)[0].join('=')}`;
const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 16 * 2 ** 20;

/** How the process is set up: as our server sets itself up, or as Node starts without any setting. */
export type Setup = 'as the server' | 'plain';

/**
 * A measurement that runs in a fresh process: what one leaves behind in heap, compiled code and allocator must not
 * disturb the next. The module that calls this is also the program of that process.
 */
export function inFreshProcess<Job, Result>(
  module: ImportMeta,
  measure: (job: Job) => Promise<Result> | Result,
): (job: Job, setup?: Setup) => Promise<Result> {
  const program = fileURLToPath(module.url);
  if (module.main) void answer(measure(JSON.parse(process.argv[2]) as Job));
  return async (job, setup = 'as the server') => {
    const isServer = setup === 'as the server';
    const args = [...NODE_FLAGS, ...(isServer ? [SERVER_FLAG] : []), program, JSON.stringify(job)];
    const env = { ...process.env, ...(isServer && ALLOCATOR) };
    const running = run(process.execPath, args, { env, maxBuffer: MAX_OUTPUT_BYTES });
    const forget = atExit(() => running.child.kill('SIGKILL'));
    const { stdout } = await running.finally(forget);
    return JSON.parse(stdout) as Result;
  };
}

async function answer(result: unknown): Promise<void> {
  process.stdout.write(JSON.stringify(await result));
}

/** As thorough as it gets: also compacts, and gives back to the system what the heap does not need. */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc');
  globalThis.gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
