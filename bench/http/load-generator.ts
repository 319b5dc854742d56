import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Job, Reply, Sample } from './measurement.ts';

/** The bench's end of the load generator's process. One job at a time. */
export class LoadGenerator {
  readonly #child: ChildProcess;

  constructor() {
    // 'advanced' so that timelines cross as typed arrays.
    this.#child = fork(fileURLToPath(new URL('generator.ts', import.meta.url)), {
      serialization: 'advanced',
    });
  }

  run(job: Job): Promise<Sample> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void =>
        reject(new Error(`the load generator ended with ${code}`));
      this.#child.once('exit', onExit);
      this.#child.once('message', (reply: Reply) => {
        this.#child.off('exit', onExit);
        if (reply.kind === 'sample') resolve(reply.sample);
        else reject(new Error(reply.message));
      });
      this.#child.send(job);
    });
  }

  close(): void {
    this.#child.disconnect();
  }
}
