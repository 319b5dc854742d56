import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the kernel has counted for a group: its peak with page cache, the times it had to reclaim, and kills. */
export interface GroupCounters {
  readonly peakBytes: number;
  readonly failures: number;
  readonly oomKills: number;
}

/**
 * A memory control group of its own, as a container has one, below the group of this process: in version 1,
 * or in version 2 where the memory controller is delegated.
 */
export class MemoryGroup {
  readonly folder: string;
  private readonly version: 1 | 2;

  private constructor(folder: string, version: 1 | 2) {
    this.folder = folder;
    this.version = version;
  }

  /** @returns the group, or a line that says why none can be made here. */
  static create(name: string, limitBytes: number): MemoryGroup | string {
    if (process.platform !== 'linux') return 'control groups are a thing of Linux';
    if (process.getuid?.() !== 0) return 'only root may make a control group';
    const parent = ownGroup();
    if (!parent) return 'there is no memory controller';
    const group = new MemoryGroup(join(parent.folder, name), parent.version);
    try {
      mkdirSync(group.folder);
      group.write(parent.version === 1 ? 'memory.limit_in_bytes' : 'memory.max', String(limitBytes));
      return group;
    } catch (error) {
      if (existsSync(group.folder)) rmdirSync(group.folder);
      return `the memory controller cannot be used here: ${(error as Error).message}`;
    }
  }

  /** The file to which a process writes its id to enter the group. */
  get entrance(): string {
    return join(this.folder, 'cgroup.procs');
  }

  /** Memory charged to the group that the kernel could not take back by dropping file pages. */
  unreclaimableBytes(): number {
    const usage = Number(this.read(this.version === 1 ? 'memory.usage_in_bytes' : 'memory.current'));
    const stat = this.read('memory.stat');
    const prefix = this.version === 1 ? 'total_' : '';
    return usage - field(stat, `${prefix}inactive_file`) - field(stat, `${prefix}active_file`);
  }

  counters(): GroupCounters {
    if (this.version === 1) {
      return {
        peakBytes: Number(this.read('memory.max_usage_in_bytes')),
        failures: Number(this.read('memory.failcnt')),
        oomKills: field(this.read('memory.oom_control'), 'oom_kill'),
      };
    }
    const events = this.read('memory.events');
    return {
      peakBytes: existsSync(join(this.folder, 'memory.peak')) ? Number(this.read('memory.peak')) : NaN,
      failures: field(events, 'max'),
      oomKills: field(events, 'oom_kill'),
    };
  }

  /** Removes the group, which no process may be in any more. */
  remove(): void {
    rmdirSync(this.folder);
  }

  private read(file: string): string {
    return readFileSync(join(this.folder, file), 'utf8');
  }

  private write(file: string, text: string): void {
    writeFileSync(join(this.folder, file), text);
  }
}

function ownGroup(): { readonly folder: string; readonly version: 1 | 2 } | undefined {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const version = controllers === '' ? 2 : 1;
    if (version === 1 && !controllers.split(',').includes('memory')) continue;
    const root = version === 1 ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
    for (const folder of [join(root, path), root]) {
      const own = version === 1 ? 'memory.limit_in_bytes' : 'cgroup.subtree_control';
      if (!existsSync(join(folder, own))) continue;
      // In version 2 a child has a memory limit only where its parent delegates the controller.
      if (version === 2 && !readFileSync(join(folder, own), 'utf8').split(/\s/).includes('memory')) continue;
      return { folder, version };
    }
  }
  return undefined;
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}
