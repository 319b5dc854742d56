import { describe, expect, test } from 'vitest';
import type { ReadText } from '../../src/config/control-groups.ts';
import { findMemoryLimit, usedBytes } from '../../src/memory/probe.ts';

const MIB = 2 ** 20;
const MACHINE = 8192 * MIB;
const V1_UNLIMITED = '9223372036854771712\n';

/** A machine described by its files. */
function machine(files: Readonly<Record<string, string>>): ReadText {
  return (path) => files[path];
}

function limitOn(files: Readonly<Record<string, string>>) {
  const { limitBytes, source, group } = findMemoryLimit(undefined, machine(files), MACHINE);
  return { limitBytes, source, folder: group?.folder };
}

const OF_MACHINE = { limitBytes: MACHINE, source: 'machine', folder: undefined };

describe('findMemoryLimit', () => {
  test('takes the setting, unless a group or the machine has a smaller limit', () => {
    const group = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': `${1024 * MIB}\n` };
    const setting = { limitBytes: 512 * MIB, source: 'MEMORY_LIMIT' };
    expect(findMemoryLimit(512 * MIB, machine(group), MACHINE)).toStrictEqual(setting);
    expect(findMemoryLimit(512 * MIB, machine({}), 256 * MIB)).toMatchObject({
      limitBytes: 256 * MIB,
      source: 'machine',
    });
    const tighter = findMemoryLimit(2048 * MIB, machine(group), MACHINE);
    expect(tighter).toMatchObject({ limitBytes: 1024 * MIB, source: 'cgroup v2' });
  });

  test('cgroup v2: the leaf', () => {
    const files = {
      '/proc/self/cgroup': '0::/app/cache\n',
      '/sys/fs/cgroup/app/cache/memory.max': `${256 * MIB}\n`,
      '/sys/fs/cgroup/app/memory.max': 'max\n',
    };
    expect(limitOn(files)).toStrictEqual({
      limitBytes: 256 * MIB,
      source: 'cgroup v2',
      folder: '/sys/fs/cgroup/app/cache',
    });
  });

  test('cgroup v2: a parent that is tighter than the leaf', () => {
    const files = {
      '/proc/self/cgroup': '0::/slice/app/cache\n',
      '/sys/fs/cgroup/slice/app/cache/memory.max': `${512 * MIB}\n`,
      '/sys/fs/cgroup/slice/app/memory.max': 'max\n',
      '/sys/fs/cgroup/slice/memory.max': `${128 * MIB}\n`,
    };
    expect(limitOn(files)).toStrictEqual({
      limitBytes: 128 * MIB,
      source: 'cgroup v2',
      folder: '/sys/fs/cgroup/slice',
    });
  });

  test('cgroup v2: max everywhere is no limit', () => {
    const files = {
      '/proc/self/cgroup': '0::/app\n',
      '/sys/fs/cgroup/app/memory.max': 'max\n',
    };
    expect(limitOn(files)).toStrictEqual(OF_MACHINE);
  });

  test('cgroup v2: in a container that has its own namespace the path is the root', () => {
    const files = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': `${256 * MIB}\n` };
    expect(limitOn(files)).toStrictEqual({
      limitBytes: 256 * MIB,
      source: 'cgroup v2',
      folder: '/sys/fs/cgroup',
    });
  });

  test('cgroup v2: in a container that sees the path of its host, the root is its own group', () => {
    const files = {
      '/proc/self/cgroup': '0::/system.slice/docker-0123.scope\n',
      '/sys/fs/cgroup/memory.max': `${256 * MIB}\n`,
    };
    expect(limitOn(files)).toStrictEqual({
      limitBytes: 256 * MIB,
      source: 'cgroup v2',
      folder: '/sys/fs/cgroup',
    });
  });

  test('cgroup v2: a path beside the namespace, as after a move, falls back on the root', () => {
    const files = { '/proc/self/cgroup': '0::/../other\n', '/sys/fs/cgroup/memory.max': `${256 * MIB}\n` };
    expect(limitOn(files)).toMatchObject({ limitBytes: 256 * MIB, source: 'cgroup v2' });
  });

  test('cgroup v2: memory.high below memory.max counts, and says so', () => {
    const files = {
      '/proc/self/cgroup': '0::/app\n',
      '/sys/fs/cgroup/app/memory.max': `${512 * MIB}\n`,
      '/sys/fs/cgroup/app/memory.high': `${400 * MIB}\n`,
    };
    expect(findMemoryLimit(undefined, machine(files), MACHINE)).toStrictEqual({
      limitBytes: 400 * MIB,
      source: 'cgroup v2 memory.high',
      group: { version: 2, folder: '/sys/fs/cgroup/app' },
      file: '/sys/fs/cgroup/app/memory.high',
    });
  });

  test('cgroup v2: the tightest of both over all parents', () => {
    const files = {
      '/proc/self/cgroup': '0::/slice/app\n',
      '/sys/fs/cgroup/slice/app/memory.max': `${512 * MIB}\n`,
      '/sys/fs/cgroup/slice/app/memory.high': `${500 * MIB}\n`,
      '/sys/fs/cgroup/slice/memory.max': 'max\n',
      '/sys/fs/cgroup/slice/memory.high': `${300 * MIB}\n`,
    };
    expect(findMemoryLimit(undefined, machine(files), MACHINE)).toMatchObject({
      limitBytes: 300 * MIB,
      file: '/sys/fs/cgroup/slice/memory.high',
    });
    const loose = { ...files, '/sys/fs/cgroup/slice/memory.high': 'max\n' };
    expect(limitOn(loose)).toMatchObject({ limitBytes: 500 * MIB, source: 'cgroup v2 memory.high' });
    const none = { ...loose, '/sys/fs/cgroup/slice/app/memory.high': 'max\n' };
    expect(limitOn(none)).toMatchObject({ limitBytes: 512 * MIB, source: 'cgroup v2' });
  });

  test('cgroup v1: a parent that the container does not see', () => {
    const files = {
      '/proc/self/cgroup': '9:memory:/kubepods/pod7/0123456789abcdef\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${300 * MIB}\n`,
      '/sys/fs/cgroup/memory/memory.stat': `cache 1\nhierarchical_memory_limit ${256 * MIB}\nrss 1\n`,
    };
    expect(findMemoryLimit(undefined, machine(files), MACHINE)).toMatchObject({
      limitBytes: 256 * MIB,
      source: 'cgroup v1',
      file: '/sys/fs/cgroup/memory/memory.stat',
    });
  });

  test('cgroup v1: the memory controller among the others', () => {
    const files = {
      '/proc/self/cgroup': '12:cpu,cpuacct:/app\n9:memory:/app\n1:name=systemd:/app\n',
      '/sys/fs/cgroup/memory/app/memory.limit_in_bytes': `${300 * MIB}\n`,
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': V1_UNLIMITED,
    };
    expect(limitOn(files)).toStrictEqual({
      limitBytes: 300 * MIB,
      source: 'cgroup v1',
      folder: '/sys/fs/cgroup/memory/app',
    });
  });

  test('cgroup v1: a parent that is tighter than the leaf', () => {
    const files = {
      '/proc/self/cgroup': '9:memory:/outer/inner\n',
      '/sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes': `${300 * MIB}\n`,
      '/sys/fs/cgroup/memory/outer/memory.limit_in_bytes': `${200 * MIB}\n`,
    };
    expect(limitOn(files)).toMatchObject({ limitBytes: 200 * MIB, folder: '/sys/fs/cgroup/memory/outer' });
  });

  test('cgroup v1: in a container the path is the host’s, and the root its own group', () => {
    const files = {
      '/proc/self/cgroup': '9:memory:/docker/0123456789abcdef\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${256 * MIB}\n`,
    };
    expect(limitOn(files)).toStrictEqual({
      limitBytes: 256 * MIB,
      source: 'cgroup v1',
      folder: '/sys/fs/cgroup/memory',
    });
  });

  test('cgroup v1: the number that stands for no limit is no limit', () => {
    const files = {
      '/proc/self/cgroup': '9:memory:/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': V1_UNLIMITED,
    };
    expect(limitOn(files)).toStrictEqual(OF_MACHINE);
  });

  test('both versions at once: the one that has the memory controller', () => {
    const files = {
      '/proc/self/cgroup': '9:memory:/app\n0::/app\n',
      '/sys/fs/cgroup/memory/app/memory.limit_in_bytes': `${300 * MIB}\n`,
    };
    expect(limitOn(files)).toMatchObject({ limitBytes: 300 * MIB, source: 'cgroup v1' });
  });

  test('a limit above the machine’s memory does not count', () => {
    const files = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': `${MACHINE * 2}\n` };
    expect(limitOn(files)).toStrictEqual(OF_MACHINE);
  });

  test.each([
    ['no control groups', {}],
    ['an empty list', { '/proc/self/cgroup': '' }],
    ['a list that is none', { '/proc/self/cgroup': 'what\n:\n0:\n' }],
    ['a limit that is none', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': 'much\n' }],
    ['a limit that is empty', { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.high': '' }],
    ['groups without files', { '/proc/self/cgroup': '0::/a/b/c\n9:memory:/a/b\n' }],
  ])('%s: the machine’s memory', (_what, files) => {
    expect(limitOn(files)).toStrictEqual(OF_MACHINE);
  });
});

describe('usedBytes', () => {
  const v2 = {
    limitBytes: 256 * MIB,
    source: 'cgroup v2',
    group: { version: 2, folder: '/sys/fs/cgroup/app' },
  } as const;
  const v1 = {
    limitBytes: 256 * MIB,
    source: 'cgroup v1',
    group: { version: 1, folder: '/sys/fs/cgroup/memory/app' },
  } as const;

  test('is resident memory where the limit is no control group’s', () => {
    expect(usedBytes({ limitBytes: MACHINE, source: 'machine' }, 77, machine({}))).toBe(77);
  });

  test('cgroup v2: the group’s figure less the file pages that can be reclaimed', () => {
    const read = machine({
      '/sys/fs/cgroup/app/memory.current': `${200 * MIB}\n`,
      '/sys/fs/cgroup/app/memory.stat': `anon 5\nfile 9\ninactive_file ${30 * MIB}\nactive_file ${20 * MIB}\n`,
    });
    expect(usedBytes(v2, 100 * MIB, read)).toBe(150 * MIB);
  });

  test('cgroup v1: counts the groups below it too', () => {
    const read = machine({
      '/sys/fs/cgroup/memory/app/memory.usage_in_bytes': `${200 * MIB}\n`,
      '/sys/fs/cgroup/memory/app/memory.stat': `inactive_file 1\nactive_file 1\ntotal_inactive_file ${50 * MIB}\ntotal_active_file ${10 * MIB}\n`,
    });
    expect(usedBytes(v1, 100 * MIB, read)).toBe(140 * MIB);
  });

  test('is never less than resident memory', () => {
    const read = machine({
      '/sys/fs/cgroup/app/memory.current': `${120 * MIB}\n`,
      '/sys/fs/cgroup/app/memory.stat': `inactive_file ${90 * MIB}\nactive_file 0\n`,
    });
    expect(usedBytes(v2, 100 * MIB, read)).toBe(100 * MIB);
  });

  test('is resident memory where the group’s files have gone', () => {
    expect(usedBytes(v2, 100 * MIB, machine({}))).toBe(100 * MIB);
    const withoutStat = machine({ '/sys/fs/cgroup/app/memory.current': `${200 * MIB}\n` });
    expect(usedBytes(v2, 100 * MIB, withoutStat)).toBe(100 * MIB);
  });
});
