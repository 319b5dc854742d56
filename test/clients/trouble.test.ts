import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { faultValue } from '../support/faults.ts';
import { startFaultyServer } from '../support/faulty-server.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { HttpPipe } from '../support/http-pipe.ts';
import { IS_LONG } from '../support/long.ts';
import { startTestServer } from '../support/server.ts';
import { BUILD_TOOLS, type BuildTool, Checkout, NX, takesSecondsToStart } from './build-tools.ts';

const TOKEN = 'sesame';
/** Some tools take seconds to start, for each build. */
const TIMEOUT_MS = 300_000;
const QUICK_TOOLS = IS_LONG ? BUILD_TOOLS : BUILD_TOOLS.filter((tool) => !takesSecondsToStart(tool));

/** Asks the cache for a result, makes it, and wants it stored. */
async function build(tool: BuildTool, port: number): Promise<void> {
  await new Checkout(tool).build({ port, token: TOKEN });
}

/** Into the same flood. */
const BUILDS = IS_LONG ? 2 : 1;
const CONNECTIONS = 4;
const IN_FLIGHT = 8;

/**
 * Fills a cache, and then PUTs without end; the server may cut the connections off.
 * @returns a function that ends it.
 */
async function flood(port: number): Promise<() => Promise<void>> {
  const first = await HttpPipe.open(port);
  const large = 'v'.repeat(1_000_000);
  for (let i = 0; i < 200; i++) await first.put(`large-${i}`, large);
  first.close();
  const value = 'v'.repeat(10_000);
  let isOver = false;
  const floods = Array.from({ length: CONNECTIONS }, async (_, connection) => {
    let pipe = await HttpPipe.open(port);
    for (let round = 0; !isOver; round++) {
      const puts = Array.from({ length: IN_FLIGHT }, (__, i) =>
        pipe.put(`flood-${connection}-${round}-${i}`, value),
      );
      const results = await Promise.allSettled(puts);
      if (results.every(({ status }) => status === 'fulfilled')) continue;
      pipe.close();
      pipe = await HttpPipe.open(port);
    }
    pipe.close();
  });
  return async () => {
    isOver = true;
    await Promise.all(floods);
  };
}

describe('while the cache is full, and refuses most of what it is asked', { timeout: TIMEOUT_MS }, () => {
  let child: ChildServer;
  let port: number;
  let client: HttpClient;
  let endFlood: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    child = new ChildServer({
      env: { SHARDS: '1', MEMORY_LIMIT: '150mb', SHARD_QUEUE_LIMIT: '1' },
      isShared: true,
    });
    port = await child.port();
    client = new HttpClient(port);
    endFlood = await flood(port);
  });

  afterAll(async () => {
    await endFlood?.();
    client.close();
    await child.end();
  });

  test.each(QUICK_TOOLS)('$name: a build succeeds', async (tool) => {
    const before = (await client.stats()).totals;
    expect(before.evicted + before.shedEntries).toBeGreaterThan(0);
    for (let builds = 0; builds < BUILDS; builds++) await build(tool, port);
    const { busyRejections } = (await client.stats()).totals;
    expect(busyRejections - before.busyRejections).toBeGreaterThan(100);
  });
});

describe.each(QUICK_TOOLS)('$name: a build succeeds', { timeout: TIMEOUT_MS }, (tool) => {
  test('while a shard is started again', async () => {
    await using server = await startFaultyServer({ SHARDS: '1' });
    const { client, router, app } = server;
    server.failNextStarts(Array.from({ length: 50 }, () => 'exit' as const));
    await client.put('fault', faultValue('exit'));
    await expect.poll(() => router.isReady).toBe(false);
    const before = app.traffic.counts.refusals.shard_unavailable;
    await build(tool, server.port);
    expect(app.traffic.counts.refusals.shard_unavailable).toBeGreaterThan(before);
    expect(router.isReady).toBe(false);
  });

  test('while no value is small enough', async () => {
    await using server = await startTestServer({ SHARDS: '1', MAX_RAW_BYTES: '1' });
    await build(tool, server.port);
    const [{ stats }] = await server.router.stats();
    expect([stats!.entries, stats!.misses > 0]).toStrictEqual([0, true]);
  });

  test('while its address asks too often', async () => {
    await using server = await startTestServer({ SHARDS: '1', RATE_LIMIT: '1' });
    const { port, app } = server;
    // One may be under way when the server ends.
    const ask = (): void => void server.client.get('/cache/a').catch(() => undefined);
    const asker = setInterval(ask, 20);
    onTestFinished(() => clearInterval(asker));
    await expect.poll(() => app.traffic.counts.refusals.rate_limit).toBeGreaterThan(10);
    await build(tool, port);
    expect((await server.router.stats())[0].stats!.puts).toBeLessThan(2);
  });
});

describe.each(QUICK_TOOLS)('$name: a build succeeds', { timeout: TIMEOUT_MS }, (tool) => {
  test('while all connections are in use', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    const { app, port } = server;
    Object.assign(app.frontDoor.limits, { maxConnections: 0 });
    await build(tool, port);
    expect(app.traffic.counts.refusals.connections).toBeGreaterThan(0);
  });
});

describe.each(QUICK_TOOLS.filter((tool) => tool !== NX))(
  '$name: a build succeeds',
  { timeout: TIMEOUT_MS },
  (tool) => {
    test('without the cache', async () => {
      await build(tool, await freePort());
    });
  },
);

describe('Nx', () => {
  test('without the cache a build fails, unless it is told to go without', async () => {
    const checkout = new Checkout(NX);
    const nowhere = { port: await freePort(), token: TOKEN };
    await expect(checkout.build(nowhere)).rejects.toThrow(/Failed to send request/);
    await checkout.build(nowhere, { NX_SKIP_REMOTE_CACHE: 'true' });
  });
});
