import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
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
 * @returns what takes the groups away, once the process has ended.
 */
export function slowDown(pid: number, share: number): () => void {
  const folders = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const folder = join(ROOT, `kvc-scale-${thread}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'cpu.cfs_period_us'), `${PERIOD_US}`);
    writeFileSync(join(folder, 'cpu.cfs_quota_us'), `${PERIOD_US * share}`);
    writeFileSync(join(folder, 'tasks'), thread);
    return folder;
  });
  const remove = (): void => {
    for (const folder of folders) rmdirSync(folder);
  };
  const forget = atExit(remove);
  return () => {
    remove();
    forget();
  };
}
