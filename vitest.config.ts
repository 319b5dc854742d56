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
  'process/snapshot-speed',
  'process/soak',
  'shards/faults/shard-*',
]);

/** Most of their time they wait for a server to start or to end: three files run at a time. */
const SERVERS = testsOf([
  'browser/**/*',
  'clients/**/*',
  'fronts/**/*',
  'http/access',
  'http/batch',
  'http/fuzz',
  'http/host',
  'http/node-internals',
  'http/tls-ends',
  'keyv/**/*',
  'package/**/*',
  'process/**/*',
  'shards/faults/*',
  'tier/**/*',
]);

/**
 * Their servers run in the test's process, and the limit of its memory does not matter to them. Files share a process, so
 * that each does not load the server anew.
 */
const IN_PROCESS = testsOf(['client/**/*', 'http/**/*']);

const SERVER_WORKERS = 3;

const DEFAULTS = {
  // Node loads the modules itself, as in the product: that takes less time than to have Vite transform them, and so does
  // each access to what a module exports. Nothing here replaces whole modules, which would need Vite's loader.
  experimental: { viteModuleRunner: false, nodeLoader: false },
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
          exclude: [...IN_PROCESS, ...SERVERS, ...ALONE],
          pool: 'threads',
          maxWorkers: '100%',
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...WITH_SERVERS,
          name: 'servers',
          include: SERVERS,
          exclude: ALONE,
          maxWorkers: SERVER_WORKERS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...WITH_SERVERS,
          name: 'in-process',
          include: IN_PROCESS,
          exclude: [...SERVERS, ...ALONE],
          maxWorkers: SERVER_WORKERS,
          isolate: false,
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
