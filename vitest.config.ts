import { defineConfig } from 'vitest/config';

/** Tests that run servers have the machine to themselves: some of them measure times. */
const SYSTEM = ['browser', 'fault', 'http', 'process', 'shards/faults'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

/** What is waited for comes within milliseconds; only a machine with other work takes seconds. */
const EXPECT = { poll: { interval: 5, timeout: 20_000 } };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...SYSTEM, '**/node_modules/**'],
          testTimeout: 60_000,
          expect: EXPECT,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'system',
          include: SYSTEM,
          maxWorkers: 1,
          testTimeout: 60_000,
          expect: EXPECT,
          hookTimeout: 30_000,
          // Shards start as in the product, where types have been stripped before.
          env: { NODE_COMPILE_CACHE: 'node_modules/.cache/key-value-cache' },
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
