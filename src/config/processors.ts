import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type ReadText, controlGroups, readTextFile } from './control-groups.ts';

/**
 * How many processors this process may keep busy: those that it may run on, or fewer where a control group has a quota
 * of processor time. Node's `availableParallelism` knows quotas of version 2 only. Parts of a processor do not count.
 */
export function processors(read: ReadText = readTextFile, machine: number = availableParallelism()): number {
  const quotas = controlGroups('cpu', read).map(({ version, folder }) => {
    const text = (name: string): string => read(join(folder, name)) ?? '';
    return version === 2
      ? share(...(text('cpu.max').split(' ') as [string, string]))
      : share(text('cpu.cfs_quota_us'), text('cpu.cfs_period_us'));
  });
  return Math.max(1, Math.floor(Math.min(machine, ...quotas)));
}

/** @returns Infinity where there is no quota: `max` in version 2, -1 in version 1. */
function share(quotaUs: string, periodUs: string): number {
  const quotient = Number(quotaUs) / Number(periodUs);
  return quotient > 0 ? quotient : Infinity;
}
