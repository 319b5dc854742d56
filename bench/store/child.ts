import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Whether the process is set up as the server sets itself up: freed blocks go back to the system at once. */
export type Allocator = 'default' | 'fixed threshold';

const ALLOCATOR_VARIABLE = 'MALLOC_MMAP_THRESHOLD_';
const ALLOCATOR_VALUE = '131072';
export const ALLOCATOR_SETTING = `${ALLOCATOR_VARIABLE}=${ALLOCATOR_VALUE}`;

/** What the children need of Node: the collector on demand, and room for a large `Map`. */
const NODE_FLAGS = ['--expose-gc', '--max-old-space-size=12288'];
/** As the server starts itself: see `heapFlags`. Other caches have much that is young and alive. */
const SERVER_FLAGS = [...NODE_FLAGS, '--no-parallel-scavenge'];
const OUTPUT_LIMIT_BYTES = 16 * 2 ** 20;

/**
 * A measurement that runs in a fresh process: what one leaves behind in heap, compiled code and allocator
 * must not meet the next. The module that exports it is also the program of that process.
 */
export class Measurement<Job, Result> {
  private readonly program: string;
  private readonly measure: (job: Job) => Promise<Result> | Result;

  constructor(moduleUrl: string, measure: (job: Job) => Promise<Result> | Result) {
    this.program = fileURLToPath(moduleUrl);
    this.measure = measure;
  }

  /** @throws with the process's own words when it fails. */
  run(job: Job, allocator: Allocator): Promise<Result> {
    const env = { ...process.env };
    delete env[ALLOCATOR_VARIABLE];
    const isAsServer = allocator === 'fixed threshold';
    if (isAsServer) env[ALLOCATOR_VARIABLE] = ALLOCATOR_VALUE;
    return new Promise((resolve, reject) => {
      const child = execFile(
        process.execPath,
        [...(isAsServer ? SERVER_FLAGS : NODE_FLAGS), this.program, JSON.stringify(job)],
        { env, maxBuffer: OUTPUT_LIMIT_BYTES },
        (error, stdout, stderr) => {
          process.off('exit', kill);
          if (error !== null) {
            reject(new Error(`${JSON.stringify(job)}: ${stderr || error.message}`));
            return;
          }
          const result: Result = JSON.parse(stdout);
          resolve(result);
        },
      );
      const kill = (): void => void child.kill('SIGKILL');
      process.once('exit', kill);
    });
  }

  /** The other end of `run`. */
  async serve(): Promise<void> {
    const job: Job = JSON.parse(process.argv[2] ?? 'null');
    process.stdout.write(JSON.stringify(await this.measure(job)));
  }
}

/** As thorough as it gets: also compacts, and gives back to the system what the heap does not need. */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc');
  globalThis.gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
