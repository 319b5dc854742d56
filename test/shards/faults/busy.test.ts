import { expect, test } from 'vitest';
import { faultValue } from '../../support/faults.ts';
import { startFaultyServer } from '../../support/faulty-server.ts';
import { expectError } from '../../support/http-client.ts';
import { startTestServer } from '../../support/server.ts';

test('a shard with its queue full refuses with 503 and Retry-After, and loses nothing of what it took', async () => {
  await using server = await startTestServer({ SHARDS: '1', SHARD_QUEUE_LIMIT: '1' });
  const entries = Array.from({ length: 200 }, (_, i) => `key-${i}`);
  const answers = await Promise.all(entries.map((key) => server.client.put(key, 'v')));
  const refused = answers.filter(({ status }) => status !== 201);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.length).toBeLessThan(entries.length);
  for (const answer of refused) expectError(answer, 503, 'CACHE_ERR_SHARD_BUSY', /in flight/);
  const { totals } = await server.client.stats();
  expect(totals.busyRejections).toBe(refused.length);
  expect(totals.entries).toBe(entries.length - refused.length);
  for (const [i, key] of entries.entries()) {
    const expected = answers[i].status === 201 ? 200 : 404;
    expect((await server.client.get(`/cache/${key}`)).status).toBe(expected);
  }
});

test('a refused request is answered at once, not at its deadline', async () => {
  const deadlineMs = 2000;
  await using server = await startFaultyServer({
    SHARDS: '1',
    SHARD_QUEUE_LIMIT: '1',
    REQUEST_DEADLINE_MS: String(deadlineMs),
  });
  const { client, router } = server;
  const asked = client.put('hung', faultValue('loop'));
  await expect.poll(() => router.shards[0].mailbox!.inFlight).toBe(1);
  const startedMs = performance.now();
  expectError(await client.get('/cache/other'), 503, 'CACHE_ERR_SHARD_BUSY');
  expectError(await client.put('other', 'v'), 503, 'CACHE_ERR_SHARD_BUSY');
  expect(performance.now() - startedMs).toBeLessThan(deadlineMs / 2);
  expectError(await asked, 503, 'CACHE_ERR_SHARD_DEADLINE');
});
