import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { clusterSlot } from '../../workers/tier/slots.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { IS_LONG } from '../support/long.ts';
import { Random, printedSeed } from '../support/random.ts';
import { HAS_REDIS, RedisCluster, RedisServer } from '../support/redis.ts';
import { type TestServer, startTestServer } from '../support/server.ts';
import { type HistoryOptions, TierHistory } from '../support/tier-history.ts';

/** What docs/several-machines.md promises, and what this machine and the proxies add. */
const STALE_MS = 1500 + 500;
const DURATION_MS = IS_LONG ? 30_000 : 3000;
/** Readers that never rest would take both processors from the tests beside this one. */
const READ_PAUSE_MS = IS_LONG ? 0 : 40;
const CANARY = new URL('../support/canary-tier-worker.ts', import.meta.url);

type Disturbance = Pick<HistoryOptions, 'disturb' | 'disturbEveryMs' | 'losesEntries'>;
const NONE: Disturbance = { disturb: () => undefined, disturbEveryMs: 500 };

async function expectRight(servers: readonly TestServer[], random: Random, more: Disturbance): Promise<void> {
  const history = new TierHistory({
    servers,
    random,
    durationMs: DURATION_MS,
    staleMs: STALE_MS,
    readPauseMs: READ_PAUSE_MS,
    ...more,
  });
  const { reads, writes, faults } = await history.run();
  expect(faults).toStrictEqual([]);
  expect(Math.min(reads, writes)).toBeGreaterThan(50);
  await sleep(STALE_MS);
  await history.checkQuiet();
  expect(history.report.faults).toStrictEqual([]);
}

async function behindProxy(
  random: Random,
): Promise<AsyncDisposable & { redis: RedisServer; proxy: DelayingProxy; url: string }> {
  const redis = await RedisServer.start();
  const proxy = await DelayingProxy.listen(() => random.whole(0, 15));
  proxy.targetPort = redis.port;
  return {
    redis,
    proxy,
    url: `redis://127.0.0.1:${proxy.port}`,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

describe.skipIf(!HAS_REDIS)('what changes while the connection to the engine', () => {
  test.each([
    ['is silent', false],
    ['has ended', true],
  ])('%s is not missed: the old copy is not used any more', async (_what, isCut) => {
    await using engine = await behindProxy(new Random(1));
    await using one = await startTestServer({ TIER_URL: engine.url, SHARDS: '1' });
    await using other = await startTestServer({ TIER_URL: engine.redis.url, SHARDS: '1' });
    const read = async (): Promise<string> => {
      const { status, text } = await one.client.get('/kv/a');
      return status === 200 ? text : String(status);
    };
    await one.client.put('a', 'old');
    expect(await read()).toBe('old');
    engine.proxy.silent = true;
    if (isCut) engine.proxy.cut();
    expect((await other.client.put('a', 'new')).status).toBe(201);
    const writtenMs = performance.now();
    await expect.poll(read).toBe('503');
    expect(performance.now() - writtenMs).toBeLessThan(isCut ? 500 : STALE_MS);
    engine.proxy.silent = false;
    await expect.poll(read).toBe('new');
  });
});

describe.skipIf(!HAS_REDIS)('random histories over two servers', () => {
  test('announcements come late', async () => {
    const random = new Random(printedSeed('late'));
    await using engine = await behindProxy(random);
    await using one = await startTestServer({ TIER_URL: engine.url, FRONTS: '2' });
    await using other = await startTestServer({ TIER_URL: engine.url, SHARDS: '1' });
    await expectRight([one, other], random, NONE);
  });

  test('connections are cut, and one of them goes silent', async () => {
    const random = new Random(printedSeed('cut'));
    await using engine = await behindProxy(random);
    await using one = await startTestServer({ TIER_URL: engine.url });
    await using other = await startTestServer({ TIER_URL: engine.redis.url, SHARDS: '1' });
    const disturb = async (): Promise<void> => {
      if (random.chance(0.5)) {
        engine.proxy.cut();
        return;
      }
      engine.proxy.silent = true;
      await sleep(random.whole(100, 2000));
      engine.proxy.silent = false;
    };
    await expectRight([one, other], random, { disturb, disturbEveryMs: 400 });
  });

  test('slots move through a cluster', async () => {
    const random = new Random(printedSeed('slots'));
    await using cluster = await RedisCluster.start();
    await using one = await startTestServer({ TIER_URL: cluster.url });
    await using other = await startTestServer({ TIER_URL: cluster.url, SHARDS: '1' });
    const disturb = async (): Promise<void> => {
      const slot = clusterSlot(`kvc:k${random.whole(0, 9)}`);
      const owner = await cluster.ownerOf(slot);
      const target = cluster.nodes[(cluster.nodes.indexOf(owner) + random.whole(1, 2)) % 3];
      await cluster.moveSlot(slot, owner, target);
    };
    await expectRight([one, other], random, { disturb, disturbEveryMs: 50 });
  });

  test('a replica and its primary change places', async () => {
    const random = new Random(printedSeed('places'));
    await using cluster = await RedisCluster.start(3, '--repl-diskless-sync-delay', '0');
    await using replica = await cluster.addReplicaOf(cluster.nodes[2]);
    await using one = await startTestServer({ TIER_URL: cluster.url });
    await using other = await startTestServer({ TIER_URL: cluster.url, SHARDS: '1' });
    // Most of the keys are theirs.
    const pair = [cluster.nodes[2], replica];
    let changes = 0;
    const disturb = async (): Promise<void> => {
      // A change drops all copies: those that come after the last one show what is missed.
      if (changes === (IS_LONG ? 20 : 2)) return;
      for (const node of pair) {
        // Nothing is lost: the primary waits until the replica has all. It refuses what is no replica, or not complete.
        if (!String(await node.command('ROLE')).startsWith('slave')) continue;
        await node.command('CLUSTER', 'FAILOVER').catch(() => undefined);
        const isPrimary = async (): Promise<boolean> =>
          String(await node.command('ROLE')).startsWith('master');
        for (let i = 0; i < 20 && !(await isPrimary()); i++) await sleep(50);
        if (await isPrimary()) changes++;
        return;
      }
    };
    await expectRight([one, other], random, { disturb, disturbEveryMs: 500 });
    expect(changes).toBeGreaterThan(0);
  });

  test('primaries are killed, and come back empty', async () => {
    const random = new Random(printedSeed('killed'));
    await using cluster = await RedisCluster.start(3, '--cluster-require-full-coverage', 'no');
    await using one = await startTestServer({ TIER_URL: cluster.url });
    await using other = await startTestServer({ TIER_URL: cluster.url, SHARDS: '1' });
    const disturb = async (): Promise<void> => {
      const node = cluster.nodes[random.whole(0, 2)];
      await node.kill();
      await sleep(random.whole(0, 500));
      await node.run();
      await cluster.agreed();
    };
    await expectRight([one, other], random, { disturb, disturbEveryMs: 500, losesEntries: true });
  });

  test('an answer under way that leaves a copy all the same is found out', async () => {
    const random = new Random(printedSeed('canary'));
    await using engine = await behindProxy(random);
    await using one = await startTestServer({ TIER_URL: engine.url, SHARDS: '1' }, CANARY);
    await using other = await startTestServer({ TIER_URL: engine.url, SHARDS: '1' });
    const options = { servers: [one, other], random, staleMs: STALE_MS, ...NONE };
    for (let round = 0; round < 100; round++) {
      const history = new TierHistory({ ...options, durationMs: 300 });
      await history.run();
      await sleep(200);
      await history.checkQuiet();
      if (history.report.faults.length > 0) return;
    }
    expect.unreachable('nobody has noticed');
  });
});
