import { describe, expect, test } from 'vitest';
import { clusterSlot } from '../../workers/tier/slots.ts';
import { HAS_REDIS, RedisCluster } from '../support/redis.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

/** Each look reads all keys, and what is waited for takes the engine a second. */
const LOOK = { interval: 100 };
const KEYS = Array.from({ length: 40 }, (_, i) => `key-${i}`);

async function read({ client }: TestServer, key: string): Promise<unknown> {
  const { status, text } = await client.get(`/cache/${key}`);
  return status === 200 ? (JSON.parse(text) as { readonly value: unknown }).value : status;
}

test('the slot of a key is that of the specification', () => {
  expect(clusterSlot('123456789')).toBe(0x31c3 % 16_384);
  expect(clusterSlot('{user1000}.following')).toBe(clusterSlot('{user1000}.followers'));
  expect(clusterSlot('foo{}{bar}')).not.toBe(clusterSlot('bar'));
  expect(clusterSlot('foo{{bar}}zap')).toBe(clusterSlot('{bar'));
});

describe.skipIf(!HAS_REDIS)('with a cluster of three primaries behind the shards', () => {
  test('every key is at its primary; copies go whoever changes them, and DELETE /cache empties all', async () => {
    await using cluster = await RedisCluster.start();
    await using one = await startTestServer({ TIER_URL: cluster.url });
    // One address is enough to find the others.
    await using other = await startTestServer({ TIER_URL: cluster.nodes[1].url });
    for (const key of KEYS) expect((await one.client.put(key, `v-${key}`)).status).toBe(201);
    for (const key of KEYS) expect(await read(other, key)).toBe(`v-${key}`);
    const sizes = await Promise.all(cluster.nodes.map((node) => node.command('DBSIZE')));
    expect(sizes.every((size) => Number(size) > 0)).toBe(true);
    for (const key of KEYS) await one.client.put(key, 'new');
    await expect
      .poll(() => Promise.all(KEYS.map((key) => read(other, key))), LOOK)
      .toStrictEqual(KEYS.map(() => 'new'));
    const { text } = await other.client.call({ method: 'DELETE', path: '/cache' });
    expect(JSON.parse(text)).toEqual({ status: 'OK', removed: KEYS.length });
    await expect
      .poll(() => Promise.all(KEYS.map((key) => read(one, key))), LOOK)
      .toStrictEqual(KEYS.map(() => 404));
  });

  test('a slot that moves takes its keys along, while they are read and written', async () => {
    await using cluster = await RedisCluster.start();
    await using one = await startTestServer({ TIER_URL: cluster.url });
    // Keys with the same braces lie in one slot.
    const keys = KEYS.map((key) => `{tag}${key}`);
    const slot = clusterSlot(`kvc:${keys[0]}`);
    for (const key of keys) await one.client.put(key, 'old');
    const owner = await cluster.ownerOf(slot);
    const target = cluster.nodes.find((node) => node !== owner)!;
    let isMoving = true;
    const moved = cluster.moveSlot(slot, owner, target).finally(() => (isMoving = false));
    for (let round = 0; isMoving || round < 2; round++) {
      for (const key of keys) {
        expect((await one.client.put(key, `new-${round}`)).status).toBe(201);
        expect(await read(one, key)).toBe(`new-${round}`);
      }
    }
    await moved;
    expect(await cluster.ownerOf(slot)).toBe(target);
    for (const key of keys) expect(await read(one, key)).toMatch(/^new-/);
    await target.command('DEL', `kvc:${keys[0]}`);
    await expect.poll(() => read(one, keys[0])).toBe(404);
  });

  test('a primary that is killed takes no others along, and comes back by itself', async () => {
    await using cluster = await RedisCluster.start(3, '--cluster-require-full-coverage', 'no');
    await using one = await startTestServer({ TIER_URL: cluster.url });
    for (const key of KEYS) await one.client.put(key, 'v');
    await cluster.nodes[0].kill();
    const answers = (): Promise<unknown[]> => Promise.all(KEYS.map((key) => read(one, key)));
    await expect.poll(answers, LOOK).toContain(503);
    await expect.poll(answers, LOOK).toContain('v');
    await cluster.nodes[0].run();
    await cluster.agreed();
    await expect.poll(answers, LOOK).not.toContain(503);
    for (const key of KEYS) await expect.poll(async () => (await one.client.put(key, 'w')).status).toBe(201);
    expect(await answers()).toStrictEqual(KEYS.map(() => 'w'));
  });

  test('a replica that takes over serves its keys, and what was copied before is not used', async () => {
    await using cluster = await RedisCluster.start();
    await using replica = await cluster.addReplicaOf(cluster.nodes[0]);
    await using one = await startTestServer({ TIER_URL: cluster.url });
    for (const key of KEYS) await one.client.put(key, 'v');
    for (const node of cluster.nodes) await node.command('WAIT', '1', '100');
    await cluster.nodes[0].kill();
    const answers = (): Promise<unknown[]> => Promise.all(KEYS.map((key) => read(one, key)));
    await expect.poll(answers, LOOK).toContain(503);
    await expect.poll(answers, { ...LOOK, timeout: 30_000 }).toStrictEqual(KEYS.map(() => 'v'));
    expect(String(await replica.command('ROLE'))).toMatch(/^master/);
    for (const key of KEYS) expect((await one.client.put(key, 'w')).status).toBe(201);
    expect(await answers()).toStrictEqual(KEYS.map(() => 'w'));
  });
});
