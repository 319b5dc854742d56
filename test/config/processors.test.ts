import { expect, test } from 'vitest';
import { processors } from '../../src/config/processors.ts';

const V1_GROUP = '3:cpu,cpuacct:/box\n1:memory:/box\n';
const V1 = '/sys/fs/cgroup/cpu';
const V2 = '/sys/fs/cgroup';

test.each<[string, Record<string, string>, number, number]>([
  ['no control group', {}, 8, 8],
  [
    'version 2 without a quota',
    { '/proc/self/cgroup': '0::/box', [`${V2}/box/cpu.max`]: 'max 100000\n' },
    8,
    8,
  ],
  ['version 2', { '/proc/self/cgroup': '0::/box', [`${V2}/box/cpu.max`]: '200000 100000\n' }, 8, 2],
  [
    'a quota of a parent',
    { '/proc/self/cgroup': '0::/pod/box', [`${V2}/pod/cpu.max`]: '300000 100000\n' },
    8,
    3,
  ],
  [
    'a container that sees its own group as the root',
    { '/proc/self/cgroup': '0::/', [`${V2}/cpu.max`]: '400000 100000' },
    8,
    4,
  ],
  [
    'parts of a processor do not count',
    { '/proc/self/cgroup': '0::/box', [`${V2}/box/cpu.max`]: '250000 100000' },
    8,
    2,
  ],
  [
    'less than one processor is one',
    { '/proc/self/cgroup': '0::/box', [`${V2}/box/cpu.max`]: '20000 100000' },
    8,
    1,
  ],
  [
    'more than the machine has',
    { '/proc/self/cgroup': '0::/box', [`${V2}/box/cpu.max`]: '1600000 100000' },
    8,
    8,
  ],
  [
    'version 1',
    {
      '/proc/self/cgroup': V1_GROUP,
      [`${V1}/box/cpu.cfs_quota_us`]: '150000\n',
      [`${V1}/box/cpu.cfs_period_us`]: '50000\n',
    },
    8,
    3,
  ],
  [
    'version 1 without a quota',
    {
      '/proc/self/cgroup': V1_GROUP,
      [`${V1}/box/cpu.cfs_quota_us`]: '-1\n',
      [`${V1}/box/cpu.cfs_period_us`]: '100000\n',
    },
    8,
    8,
  ],
])('%s', (_what, files, machine, expected) => {
  expect(processors((path) => files[path], machine)).toBe(expected);
});
