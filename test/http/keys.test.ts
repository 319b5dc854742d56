import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { expectError } from '../support/http-client.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '3' });
});

afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  expect((await server.client.call({ method: 'DELETE', path: '/cache' })).status).toBe(200);
});

interface Page {
  readonly status: string;
  readonly keys: readonly string[];
  readonly cursor: string | null;
}

async function pages(prefix: string): Promise<Page[]> {
  const all: Page[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query = `prefix=${encodeURIComponent(prefix)}${cursor && `&cursor=${cursor}`}`;
    const { status, text } = await server.client.get(`/keys?${query}`);
    expect(status).toBe(200);
    const page = JSON.parse(text) as Page;
    all.push(page);
    ({ cursor } = page);
  }
  return all;
}

test('lists the keys of all shards with a prefix, page by page', async () => {
  const { client } = server;
  const wanted = Array.from({ length: 20_000 }, (_, i) => `user:${i}`);
  const requests = [...wanted, 'other', 'user'].map((key) => ({ method: 'PUT', key, value: 'v' }));
  for (let i = 0; i < requests.length; i += 1000) {
    const { status } = await client.call({
      method: 'POST',
      path: '/batch',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ requests: requests.slice(i, i + 1000) }),
    });
    expect(status).toBe(200);
  }
  const listed = await pages('user:');
  expect(listed.flatMap(({ keys }) => keys).toSorted()).toStrictEqual(wanted.toSorted());
  // A page does not hold its shard up.
  expect(listed.length).toBeGreaterThan(20);
  expect(listed.every(({ keys }) => keys.length < 1010)).toBe(true);
  const { hits } = (await client.stats()).totals;
  expect(hits).toBe(0);
});

test('an empty cache has no keys; without a prefix all are listed', async () => {
  expect((await pages('')).flatMap(({ keys }) => keys)).toStrictEqual([]);
  await server.client.put('a "b"', 'v');
  const { text } = await server.client.get('/keys?cursor=0-0');
  expect(text.startsWith('{"status":"OK","keys":[')).toBe(true);
  expect((await pages('')).flatMap(({ keys }) => keys)).toStrictEqual(['a "b"']);
});

test.each([
  ['/keys?cursor=7-0', 'CACHE_ERR_REQUEST_INVALID', /^cursor must be .+ another cache\.$/],
  ['/keys?cursor=x', 'CACHE_ERR_REQUEST_INVALID', /^cursor must be the cursor of the last page; .+$/],
  ['/keys?cursor=0-0&cursor=0-0', 'CACHE_ERR_REQUEST_INVALID', /^cursor .+ more than once\.$/],
  ['/keys?prefix=%C3%A4', 'CACHE_ERR_KEY_INVALID', /^prefix must be printable ASCII .+$/],
  [`/keys?prefix=${'p'.repeat(257)}`, 'CACHE_ERR_KEY_INVALID', /^prefix must be at most 256 .+$/],
  ['/keys?match=a', 'CACHE_ERR_UNKNOWN_PROPERTY', /known are: prefix, cursor\.$/],
] as const)('%s is refused', async (path, code, message) => {
  const answer = await server.client.get(path);
  expectError(answer, 400, code);
  expect(JSON.parse(answer.text).message).toMatch(message);
});

test('while a shard is down its pages are refused, and those of others are given', async () => {
  const { client, router } = server;
  const killed = router.shards[0].kill();
  expectError(await client.get('/keys'), 503, 'CACHE_ERR_SHARD_UNAVAILABLE');
  expect((await client.get('/keys?cursor=1-0')).status).toBe(200);
  await killed;
  await expect.poll(() => router.isReady).toBe(true);
  expect((await client.get('/keys')).status).toBe(200);
});
