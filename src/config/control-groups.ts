import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Reads a small file; undefined if it cannot be read. Passed in, so that tests can describe any machine. */
export type ReadText = (path: string) => string | undefined;

export function readTextFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

export interface ControlGroup {
  readonly version: 1 | 2;
  readonly folder: string;
}

const ROOT = '/sys/fs/cgroup';

/** This process's groups of a controller and their parents, innermost first, in both versions. */
export function controlGroups(controller: 'memory' | 'cpu', read: ReadText): ControlGroup[] {
  const groups: ControlGroup[] = [];
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const version = controllers === '' ? 2 : 1;
    if (version === 1 && !controllers.split(',').includes(controller)) continue;
    const root = version === 2 ? ROOT : join(ROOT, controller);
    // In a container, the path may be that of the host, while the root is the container's own group.
    let inner = path;
    while (inner !== '/' && inner !== '.') {
      groups.push({ version, folder: join(root, inner) });
      inner = dirname(inner);
    }
    groups.push({ version, folder: root });
  }
  return groups;
}
