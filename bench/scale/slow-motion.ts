import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { atExit } from '../lib/process.ts';

/** Control groups of version 2 hold whole processes, not threads, unless all their parents are set up for it. */
const ROOT = '/sys/fs/cgroup/cpu';
const PERIOD_US = 50_000;

/** @returns why threads cannot be slowed down here; undefined where they can. */
export function whyNoSlowMotion(): string | undefined {
  if (process.platform !== 'linux') return 'control groups are a thing of Linux';
  const folder = join(ROOT, `kvc-scale-probe-${process.pid}`);
  try {
    mkdirSync(folder);
    writeFileSync(join(folder, 'cpu.cfs_period_us'), `${PERIOD_US}`);
    rmdirSync(folder);
    return undefined;
  } catch (error) {
    return `no control group can be made in ${ROOT} (version 1, as root): ${(error as Error).message}`;
  }
}

/**
 * Gives each thread of a process a control group of its own, with a share of one processor: as if each thread had a
 * slow processor to itself, and the machine many of them.
 * @returns what takes the groups away. To be called before the process ends: threads that are about to end cannot be
 *   moved out of their groups.
 */
export function slowDown(pid: number, share: number): () => void {
  const threads = readdirSync(`/proc/${pid}/task`);
  for (const thread of threads) {
    const folder = groupOf(thread);
    mkdirSync(folder);
    writeFileSync(join(folder, 'cpu.cfs_period_us'), `${PERIOD_US}`);
    writeFileSync(join(folder, 'cpu.cfs_quota_us'), `${PERIOD_US * share}`);
    moveTo(folder, thread);
  }
  const remove = (): void => {
    for (const folder of threads.map(groupOf)) {
      // A thread that was started since is in the group of the one that started it.
      const tasks = readFileSync(join(folder, 'tasks'), 'utf8').trim();
      for (const task of tasks === '' ? [] : tasks.split('\n')) moveTo(ROOT, task);
      rmdirSync(folder);
    }
  };
  const forget = atExit(remove);
  return () => {
    remove();
    forget();
  };
}

function groupOf(thread: string): string {
  return join(ROOT, `kvc-scale-${thread}`);
}

function moveTo(folder: string, thread: string): void {
  try {
    writeFileSync(join(folder, 'tasks'), thread);
  } catch (error) {
    // The thread has ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
