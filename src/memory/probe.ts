import { totalmem } from 'node:os';
import { join } from 'node:path';
import { type ControlGroup, type ReadText, controlGroups, readTextFile } from '../config/control-groups.ts';

export interface MemoryLimit {
  readonly limitBytes: number;
  /** At `memory.high` the kernel slows the group down, long before the limit at which it kills. */
  readonly source: 'MEMORY_LIMIT' | 'cgroup v1' | 'cgroup v2' | 'cgroup v2 memory.high' | 'machine';
  /** The control group that sets the limit, if one does, and the file that has it. */
  readonly group?: ControlGroup;
  readonly file?: string;
}

/**
 * What 100 % of memory means: the smallest of the setting, the limits of this process's control group and its parents,
 * and the machine's memory. Node's `process.constrainedMemory()` does not say which group sets the limit, but
 * `usedBytes` has to know.
 */
export function findMemoryLimit(
  setting: number | undefined,
  read: ReadText = readTextFile,
  machineBytes: number = totalmem(),
): MemoryLimit {
  let tightest: MemoryLimit = { limitBytes: machineBytes, source: 'machine' };
  for (const group of controlGroups('memory', read)) {
    for (const { source, name, field } of LIMIT_FILES[group.version]) {
      const file = join(group.folder, name);
      const limitBytes = limitIn(read(file), field);
      if (limitBytes < tightest.limitBytes) tightest = { limitBytes, source, group, file };
    }
  }
  const isKept = setting !== undefined && setting < tightest.limitBytes;
  return isKept ? { limitBytes: setting, source: 'MEMORY_LIMIT' } : tightest;
}

interface LimitFile {
  readonly source: MemoryLimit['source'];
  readonly name: string;
  /** The field that holds the limit, if the file has several. */
  readonly field?: string;
}

const LIMIT_FILES: Readonly<Record<ControlGroup['version'], readonly LimitFile[]>> = {
  1: [
    { source: 'cgroup v1', name: 'memory.limit_in_bytes' },
    // Includes the limits of parents that a container does not see, such as the pod's.
    { source: 'cgroup v1', name: 'memory.stat', field: 'hierarchical_memory_limit' },
  ],
  2: [
    { source: 'cgroup v2', name: 'memory.max' },
    { source: 'cgroup v2 memory.high', name: 'memory.high' },
  ],
};

/** @returns Infinity for `max`, and if there is no number. */
function limitIn(text: string | undefined, field: string | undefined): number {
  const line = field === undefined ? /^(\d+)\s*$/ : new RegExp(`^${field} (\\d+)$`, 'm');
  return Number(line.exec(text ?? '')?.[1] ?? Infinity);
}

/**
 * Bytes in use that count against the limit: resident memory. If a control group sets the limit: the usage that the
 * group reports, without the file pages that the kernel can reclaim, or resident memory if that is more.
 */
export function usedBytes(limit: MemoryLimit, residentBytes: number, read: ReadText = readTextFile): number {
  if (!limit.group) return residentBytes;
  const { folder, version } = limit.group;
  const usage = Number(read(join(folder, version === 2 ? 'memory.current' : 'memory.usage_in_bytes')));
  const stat = read(join(folder, 'memory.stat'));
  if (!Number.isFinite(usage) || stat === undefined) return residentBytes;
  const prefix = version === 2 ? '' : 'total_';
  const reclaimable = statField(stat, `${prefix}inactive_file`) + statField(stat, `${prefix}active_file`);
  return Math.max(residentBytes, usage - reclaimable);
}

function statField(stat: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
}
