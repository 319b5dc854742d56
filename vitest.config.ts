import { defineConfig } from 'vitest/config';

function testsOf(paths: readonly string[]): string[] {
  return paths.map((path) => `test/${path}.test.ts`);
}

/** They measure how long something takes while a server is flooded: each file has the machine to itself. */
const ALONE = testsOf([
  'fault/large-puts',
  'http/crowd',
  'http/overload',
  'http/probes',
  'http/slow-clients',
  'shards/faults/shard-*',
]);

/** Each has a process of its own, since they look at its memory, its threads or its handles, or replace parts of Node. */
const SERVERS = testsOf([
  'fault/**/*',
  'fronts/**/*',
  'http/access',
  'http/batch',
  'http/body-memory',
  'http/fuzz',
  'http/host',
  'http/node-internals',
  'http/tls-ends',
  'shards/faults/*',
]);

/**
 * Their servers are processes of their own, or run in the test's process, and the limit of its memory does not matter to
 * them. Files share a process, so that each does not load the server anew.
 */
const SHARING = testsOf([
  'browser/**/*',
  'client/**/*',
  'clients/**/*',
  'http/**/*',
  'keyv/**/*',
  'package/**/*',
  'process/**/*',
  'tier/**/*',
]);

/** They wait for servers to start and to end, and for clients to be slow. */
const SERVER_WORKERS = 4;

const DEFAULTS = {
  // Node loads the modules itself, as in the product: that takes less time than to have Vite transform them, and so does
  // each access to what a module exports. Nothing here replaces whole modules, which would need Vite's loader.
  experimental: { viteModuleRunner: false, nodeLoader: false },
  testTimeout: 60_000,
  /** What is waited for comes within milliseconds; only a machine with other work takes seconds. */
  expect: { poll: { interval: 10, timeout: 20_000 } },
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
          exclude: [...SERVERS, ...SHARING, ...ALONE],
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
          name: 'sharing',
          include: SHARING,
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
