import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { CrowdCounts, CrowdOptions } from './crowd-process.ts';

const PROCESS = fileURLToPath(new URL('crowd-process.ts', import.meta.url));

/** Thousands of keep-alive clients, in processes of their own. They end with the test. */
export class Crowd {
  private readonly latest: CrowdCounts[] = [];

  /** @param options those of all processes together. */
  constructor(processes: number, options: Omit<CrowdOptions, 'localAddress'>) {
    for (let i = 0; i < processes; i++) {
      const own: CrowdOptions = {
        ...options,
        clients: Math.ceil(options.clients / processes),
        beginPerSecond: options.beginPerSecond / processes,
        localAddress: `127.0.0.${i + 2}`,
      };
      this.start(i, own);
    }
  }

  get counts(): CrowdCounts {
    const sum: CrowdCounts = { begun: 0, held: 0, settled: 0, served: 0, refused: 0, reset: 0 };
    for (const counts of this.latest) {
      for (const name of Object.keys(sum) as (keyof CrowdCounts)[]) sum[name] += counts?.[name] ?? 0;
    }
    return sum;
  }

  private start(i: number, options: CrowdOptions): void {
    const child: ChildProcess = fork(PROCESS, [JSON.stringify(options)], { execPath: process.execPath });
    child.on('message', (counts: CrowdCounts) => (this.latest[i] = counts));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await ended;
    });
  }
}
