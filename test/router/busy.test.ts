import { expect, test } from 'vitest';
import { expectError } from '../support/http-client.ts';
import { startTestServer } from '../support/server.ts';

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
