import { defineConfig } from 'vitest/config';

function testsOf(paths: readonly string[]): string[] {
  return paths.map((path) => `test/${path}.test.ts`);
}

/** They measure memory or time, or flood a server: each file has the machine to itself. */
const ALONE = testsOf([
  'fault/**/*',
  'http/crowd',
  'http/overload',
  'http/probes',
  'http/slow-clients',
  'http/small-memory',
  'process/compile-cache',
  'process/soak',
  'process/start',
  'shards/faults/shard-*',
]);

/** Most of their time they wait for a server to start or to end: two files run at a time. */
const SERVERS = testsOf([
  'browser/**/*',
  'client/**/*',
  'clients/**/*',
  'http/**/*',
  'process/**/*',
  'shards/faults/*',
  'tier/**/*',
]);

const DEFAULTS = {
  testTimeout: 60_000,
  /** What is waited for comes within milliseconds; only a machine with other work takes seconds. */
  expect: { poll: { interval: 5, timeout: 20_000 } },
};

const WITH_SERVERS = {
  ...DEFAULTS,
  hookTimeout: 30_000,
  // Shards start as in the product, where types have been stripped before.
  env: { NODE_COMPILE_CACHE: 'node_modules/.cache/key-value-cache' },
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...DEFAULTS,
          name: 'unit',
          include: testsOf(['**/*']),
          exclude: [...SERVERS, ...ALONE],
          pool: 'threads',
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...WITH_SERVERS,
          name: 'servers',
          include: SERVERS,
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...WITH_SERVERS,
          name: 'alone',
          include: ALONE,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
