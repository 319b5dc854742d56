import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { FOLDER_VARIABLE, LOG_FILE, PLAN_FILE, type StartFault } from './faults.ts';
import { type TestServer, startTestServer } from './server.ts';

export interface FaultyServer extends TestServer {
  /** The next starts of shards fail so, one after the other. */
  readonly failNextStarts: (faults: readonly StartFault[]) => void;
  /** When there has been a start of a shard, in ms since the epoch. */
  readonly startsMs: () => number[];
  /** Waits until a shard has been replaced this often in all, and every shard is up. */
  readonly untilReplaced: (shard: number, restarts: number) => Promise<void>;
}

/**
 * A server in this process whose shards fail on request: when they start, or when given a `faultValue`.
 * @param firstFaults the very first starts fail so, as with `failNextStarts`: for a server of one shard.
 */
export async function startFaultyServer(
  env: Readonly<Record<string, string>>,
  firstFaults: readonly StartFault[] = [],
): Promise<FaultyServer> {
  const folder = mkdtempSync(join(tmpdir(), 'kvc-faults-'));
  const failNextStarts = (faults: readonly StartFault[]): void =>
    writeFileSync(join(folder, PLAN_FILE), JSON.stringify(faults));
  const cleanUp = (): void => {
    delete process.env[FOLDER_VARIABLE];
    rmSync(folder, { recursive: true, force: true });
  };
  process.env[FOLDER_VARIABLE] = folder;
  // Shards that start at once would read the plan while another takes its fault off it.
  if (firstFaults.length > 0) failNextStarts(firstFaults);
  let server: TestServer;
  try {
    server = await startTestServer(env, new URL('faulty-worker.ts', import.meta.url));
  } catch (error) {
    cleanUp();
    throw error;
  }
  return {
    ...server,
    failNextStarts,
    startsMs: () => readFileSync(join(folder, LOG_FILE), 'utf8').trim().split('\n').map(Number),
    untilReplaced: async (shard, restarts) => {
      const { router } = server;
      await expect
        .poll(() => router.isReady && router.shards[shard].restarts, { interval: 1 })
        .toBe(restarts);
    },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      cleanUp();
    },
  };
}
