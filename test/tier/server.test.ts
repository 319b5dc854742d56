import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { LogSink } from '../../src/log-events.ts';
import { expectError } from '../support/http-client.ts';
import { scrape } from '../support/metrics-text.ts';
import { HAS_REDIS, RedisServer } from '../support/redis.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

function valueOf(text: string): unknown {
  return (JSON.parse(text) as { readonly value?: unknown }).value;
}

async function read({ client }: TestServer, key: string): Promise<unknown> {
  const { status, text } = await client.get(`/cache/${key}`);
  return status === 200 ? valueOf(text) : status;
}

interface TierStats {
  readonly tier: Readonly<Record<string, number>> & {
    readonly nodes: readonly { readonly address: string; readonly isUp: boolean }[];
  };
}

async function tierStats({ client }: TestServer): Promise<TierStats['tier']> {
  return ((await client.stats()) as unknown as TierStats).tier;
}

/** A log of which the messages are kept. */
function keptLog(): { readonly lines: string[]; readonly logger: LogSink } {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) };
  return { lines, logger: pino({ level: 'info' }, stream) };
}

describe.skipIf(!HAS_REDIS)('with one server behind the shards', () => {
  test('a PUT is in the engine before it is acknowledged; a copy goes when somebody else changes it', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    await using other = await startTestServer({ TIER_URL: redis.url });
    expect((await one.client.put('a', 'first')).status).toBe(201);
    expect(await redis.command('GET', 'kvc:a')).toContain('first');
    expect(await read(one, 'a')).toBe('first');
    expect(await redis.calls('get')).toBe(1);
    for (let i = 0; i < 3; i++) expect(await read(other, 'a')).toBe('first');
    expect(await redis.calls('get')).toBe(2);

    expect((await other.client.put('a', 'second')).status).toBe(201);
    expect(await read(other, 'a')).toBe('second');
    await expect.poll(() => read(one, 'a')).toBe('second');
    await redis.command('DEL', 'kvc:a');
    await expect.poll(() => read(one, 'a')).toBe(404);
    await expect.poll(() => read(other, 'a')).toBe(404);
    expect((await one.client.call({ method: 'DELETE', path: '/cache/a' })).status).toBe(404);
  });

  test('lifetimes are those of the engine, and no copy outlives its entry', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    const lifetime = async (path: string): Promise<unknown> => {
      const { headers } = await one.client.get(path);
      return headers['x-ttl'] ?? headers['cache-control'];
    };
    // A copy is kept for less long, but that is nobody's business.
    await one.client.put('long', 'v', 100_000);
    expect(Number(await lifetime('/kv/long'))).toBeGreaterThan(99_000);
    const years = 10 * 365 * 86_400;
    await one.client.put('years', 'v', years);
    expect(Number(await lifetime('/kv/years'))).toBeGreaterThan(years - 1100);
    expect(Number(await lifetime('/kv/years'))).toBeLessThanOrEqual(years);
    await one.client.put('endless', 'v');
    expect(await lifetime('/kv/endless')).toBe('no-cache');
    await one.client.put('kept', 'v', 100);
    expect(await redis.command('PTTL', 'kvc:kept')).toBeGreaterThan(99_000);
    await one.client.put('kept', 'v');
    expect(await redis.command('PTTL', 'kvc:kept')).toBe(-1);
    await one.client.put('short', 'v', 0.2);
    expect(await read(one, 'short')).toBe('v');
    await expect.poll(() => read(one, 'short')).toBe(404);
    await one.client.call({ method: 'PUT', path: '/kv/raw?ttl=100', body: 'x' });
    await redis.command('PEXPIRE', 'kvc:raw', '50000');
    const left = async (): Promise<number> => Number((await one.client.get('/kv/raw')).headers['x-ttl']);
    await expect.poll(left).toBeLessThanOrEqual(50);
    expect(await left()).toBeGreaterThan(40);
  });

  test('raw entries keep type, encoding and tag in the engine, which judges their conditions', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    await using other = await startTestServer({ TIER_URL: redis.url });
    const body = Buffer.from([0, 255, 128, 13, 10]);
    const headers = { 'content-type': 'image/png', 'content-encoding': 'br' };
    const put = await one.client.call({ method: 'PUT', path: '/kv/r', headers, body });
    expect(put.status).toBe(201);
    const got = await other.client.get('/kv/r');
    expect(got).toMatchObject({ status: 200, bytes: body, headers: { ...headers, etag: put.headers.etag } });
    const etag = got.headers.etag!;
    expect((await other.client.get('/kv/r', { 'if-none-match': etag })).status).toBe(304);
    const conditional = (method: string, condition: object, { client } = other): Promise<number> =>
      client
        .call({ method, path: '/kv/r', headers: { ...condition }, body: '' })
        .then(({ status }) => status);
    expect(await conditional('PUT', { 'if-none-match': '*' })).toBe(412);
    expect(await conditional('PUT', { 'if-match': '"AAAAAAAAAAAAAAAA"' })).toBe(412);
    expect(await conditional('DELETE', { 'if-match': '"AAAAAAAAAAAAAAAA"' })).toBe(412);
    expect(await conditional('PUT', { 'if-match': etag })).toBe(204);
    expect(await conditional('PUT', { 'if-match': etag }, one)).toBe(412);
    expect(await conditional('DELETE', { 'if-match': '*' })).toBe(204);
    expect(await redis.command('EXISTS', 'kvc:r')).toBe(0);
    expectError(await one.client.get('/cache/none'), 404, 'CACHE_ERR_KEY_NOT_FOUND');
    const creators = Array.from({ length: 100 }, (_, i) =>
      conditional('PUT', { 'if-none-match': '*' }, i % 2 === 0 ? one : other),
    );
    const created = (await Promise.all(creators)).filter((status) => status === 201);
    expect(created).toHaveLength(1);
  });

  test('1,000 clients that miss one key at once: the engine is read once', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    await using other = await startTestServer({ TIER_URL: redis.url });
    const value = 'x'.repeat(5000);
    await one.client.put('hot', value);
    const answers = await Promise.all(Array.from({ length: 1000 }, () => other.client.get('/cache/hot')));
    expect(answers.every(({ status, text }) => status === 200 && valueOf(text) === value)).toBe(true);
    expect(await redis.calls('get')).toBe(1);
    expect(await tierStats(other)).toMatchObject({ fetches: 1 });
    const missing = await Promise.all(Array.from({ length: 1000 }, () => other.client.get('/cache/none')));
    expect(missing.every(({ status }) => status === 404)).toBe(true);
    // How many come while one is under way is up to the machine. Without sharing there would be 1,000.
    expect(await redis.calls('get')).toBeLessThan(200);
  });

  test('/stats and /metrics show near hits, what the engine was asked, and its state', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url, SHARDS: '1' });
    await one.client.put('a', 'v');
    for (let i = 0; i < 3; i++) await read(one, 'a');
    await read(one, 'none');
    await redis.command('SET', 'kvc:a', 'changed');
    await expect.poll(async () => (await tierStats(one))['invalidations']).toBe(1);
    await one.client.put('b', 'v');
    await redis.command('DEL', 'kvc:b');
    await one.client.put('b', 'w');
    expect(await tierStats(one)).toMatchObject({
      nearHits: 3,
      hits: 0,
      misses: 1,
      fetches: 1,
      writes: 3,
      failures: 0,
      flushes: 0,
      nodes: [{ address: `127.0.0.1:${redis.port}`, isUp: true }],
    });
    expect((await one.client.stats()).totals).toMatchObject({ puts: 3, deletes: 0, cleared: 0 });
    const samples = await scrape(one.client);
    expect(samples.get('kvc_tier_writes_total{shard="0"}')).toBe(3);
    expect(samples.get(`kvc_tier_node_up{shard="0",node="127.0.0.1:${redis.port}"}`)).toBe(1);
  });

  test('a batch is answered one by one, in its order', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    const requests = Array.from({ length: 300 }, (_, i) => [
      { method: 'PUT', key: `k${i}`, value: `v${i}` },
      { method: 'GET', key: `k${i}` },
      { method: 'DELETE', key: `k${i}` },
      { method: 'GET', key: `k${i}` },
    ]).slice(0, 250);
    const { text } = await one.client.send('POST', '/batch', { requests: requests.flat() });
    const { responses } = JSON.parse(text) as { responses: { status: number; value?: string }[] };
    expect(responses).toHaveLength(1000);
    for (const [i, { status, value }] of responses.entries()) {
      expect(status).toBe([201, 200, 204, 404][i % 4]);
      if (i % 4 === 1) expect(value).toBe(`v${(i - 1) / 4}`);
    }
  });

  test('DELETE /cache removes what has the prefix, and nothing else, for all servers at once', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url, SHARDS: '3' });
    await using other = await startTestServer({ TIER_URL: redis.url });
    await redis.command('SET', 'foreign', 'stays');
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
    await Promise.all(keys.map((key) => one.client.put(key, 'v')));
    await Promise.all(keys.map((key) => read(other, key)));
    const { status, text } = await one.client.call({ method: 'DELETE', path: '/cache' });
    expect({ status, body: JSON.parse(text) as object }).toEqual({
      status: 200,
      body: { status: 'OK', removed: 300 },
    });
    expect(await redis.command('DBSIZE')).toBe(1);
    expect(await redis.command('GET', 'foreign')).toBe('stays');
    for (const key of keys.slice(0, 50)) expect(await read(one, key)).toBe(404);
    await expect
      .poll(async () => Promise.all(keys.map((key) => read(other, key))))
      .toStrictEqual(keys.map(() => 404));
  });

  test('DELETE /cache may take longer than a deadline, and removes what was put before it was sent', async () => {
    await using redis = await RedisServer.start();
    const fill = "for i = 1, 100000 do redis.call('SET', 'kvc:' .. i, 'x') end";
    await redis.command('EVAL', fill, '0');
    await using one = await startTestServer({ TIER_URL: redis.url, REQUEST_DEADLINE_MS: '50' });
    const clear = (): Promise<number> =>
      one.client.call({ method: 'DELETE', path: '/cache' }).then(({ status }) => status);
    const first = clear();
    await expect.poll(() => redis.command('DBSIZE')).toBeLessThan(100_000);
    await expect.poll(async () => (await one.client.put('late', 'v')).status).toBe(201);
    expect(await Promise.all([first, clear()])).toStrictEqual([200, 200]);
    expect(await redis.command('DBSIZE')).toBe(0);
  });

  test('GET /keys lists the keys in the engine, by prefix, whoever has put them', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url, SHARDS: '2' });
    await using other = await startTestServer({ TIER_URL: redis.url, SHARDS: '1' });
    const requests = Array.from({ length: 1000 }, (_, i) => ({
      method: 'PUT',
      key: `${i % 2 === 0 ? 'a*' : 'ab'}:${i}`,
      value: '',
    }));
    await one.client.send('POST', '/batch', { requests: requests.slice(0, 500) });
    await other.client.send('POST', '/batch', { requests: requests.slice(500) });
    const listed = new Set<string>();
    for (let cursor: string | null = ''; cursor !== null;) {
      const next: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { text } = await other.client.get(`/keys?prefix=${encodeURIComponent('a*')}${next}`);
      const page = JSON.parse(text) as { keys: string[]; cursor: string | null };
      for (const key of page.keys) listed.add(key);
      ({ cursor } = page);
    }
    const expected = requests.map(({ key }) => key).filter((key) => key.startsWith('a*'));
    expect([...listed].toSorted()).toStrictEqual(expected.toSorted());
  });

  test('what others have put under the prefix is no entry, and is replaced', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    await redis.command('SET', 'kvc:text', 'not ours');
    await redis.command('LPUSH', 'kvc:list', 'not ours');
    expect(await read(one, 'text')).toBe(404);
    expect(await read(one, 'list')).toBe(404);
    expect((await one.client.put('list', 'ours')).status).toBe(201);
    expect(await read(one, 'list')).toBe('ours');
  });
});

describe.skipIf(!HAS_REDIS)('while the engine is gone', () => {
  test.each([
    ['503', 503],
    ['miss', 404],
  ])(
    'reads are answered as TIER_UNAVAILABLE=%s says, writes 503, and it comes back by itself',
    async (setting, expected) => {
      await using redis = await RedisServer.start();
      await using one = await startTestServer({ TIER_URL: redis.url, TIER_UNAVAILABLE: setting });
      await one.client.put('a', 'before');
      expect(await read(one, 'a')).toBe('before');
      await redis.kill();
      await expect.poll(() => read(one, 'a')).toBe(expected);
      expectError(await one.client.put('a', 'lost'), 503, 'CACHE_ERR_TIER_UNAVAILABLE');
      const clear = await one.client.call({ method: 'DELETE', path: '/cache' });
      expectError(clear, 503, 'CACHE_ERR_TIER_UNAVAILABLE');
      expectError(await one.client.get('/keys'), 503, 'CACHE_ERR_TIER_UNAVAILABLE');
      expect((await tierStats(one)).nodes).toEqual([{ address: `127.0.0.1:${redis.port}`, isUp: false }]);
      await redis.run();
      await expect.poll(async () => (await one.client.put('a', 'after')).status).toBe(201);
      expect(await read(one, 'a')).toBe('after');
      await expect
        .poll(async () => (await tierStats(one)).nodes)
        .toEqual([{ address: `127.0.0.1:${redis.port}`, isUp: true }]);
    },
  );

  test('a server that starts without its engine says so, and serves as soon as that is there', async () => {
    await using redis = await RedisServer.start();
    await redis.kill();
    const { lines, logger } = keptLog();
    await using one = await startTestServer({ TIER_URL: redis.url, SHARDS: '2' }, undefined, logger);
    expect(await read(one, 'a')).toBe(503);
    const address = `127.0.0.1:${redis.port}`;
    const unusable = `the engine at ${address} cannot be used yet: connect ECONNREFUSED ${address}`;
    await expect.poll(() => lines.filter((line) => line.includes('the engine'))).toStrictEqual([unusable]);
    await redis.run();
    await expect.poll(() => read(one, 'a')).toBe(404);
    await expect.poll(() => lines).toContain(`the engine at ${address} is connected`);
    await redis.kill();
    await expect.poll(() => lines.at(-1)).toMatch(/ is gone, and all copies with it: /);
  });

  test('an engine that is full refuses: the log says why, once for many requests', async () => {
    await using redis = await RedisServer.start();
    const { lines, logger } = keptLog();
    await using one = await startTestServer({ TIER_URL: redis.url, SHARDS: '2' }, undefined, logger);
    await one.client.put('a', 'v');
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    for (let i = 0; i < 20; i++) {
      expectError(await one.client.put(`k${i}`, 'v'), 503, 'CACHE_ERR_TIER_UNAVAILABLE');
    }
    expect(await read(one, 'a')).toBe('v');
    const refusals = (): string[] => lines.filter((line) => line.includes('refuses'));
    await expect.poll(refusals).toHaveLength(1);
    expect(refusals()[0]).toMatch(/^the engine at 127\.0\.0\.1:\d+ refuses requests: OOM /);
    expect((await tierStats(one))['failures']).toBe(20);
  });

  test('a user of the engine with the rights that the documentation names is enough', async () => {
    const page = readFileSync(new URL('../../docs/several-machines.md', import.meta.url), 'utf8');
    const [, rights] = /^ACL SETUSER cache on >password ([^`]*)```/m.exec(page)!;
    const rules = ['on', '>s3:c/r@t', ...rights.trim().split(/\s+/)];
    await using redis = await RedisServer.start('--user', 'cache', ...rules);
    const url = redis.url.replace('redis://', 'redis://cache:s3%3Ac%2Fr%40t@') + '/1';
    await using one = await startTestServer({ TIER_URL: url });
    await using other = await startTestServer({ TIER_URL: url });
    expect((await one.client.put('a', 'v')).status).toBe(201);
    expect(await read(other, 'a')).toBe('v');
    await one.client.put('a', 'w', 100);
    await expect.poll(() => read(other, 'a')).toBe('w');
    for (const method of ['PUT', 'DELETE']) {
      const headers = { 'if-match': '*' };
      expect((await one.client.call({ method, path: '/kv/a', headers, body: 'x' })).status).toBe(204);
    }
    expect((await one.client.call({ method: 'DELETE', path: '/cache/a' })).status).toBe(404);
    await one.client.put('a', 'v');
    expect(JSON.parse((await one.client.get('/keys')).text)).toMatchObject({ keys: ['a'] });
    const { text } = await one.client.call({ method: 'DELETE', path: '/cache' });
    expect(JSON.parse(text)).toEqual({ status: 'OK', removed: 1 });
    await using stranger = await startTestServer({ TIER_URL: url.replace('s3', 'wrong') });
    expect(await read(stranger, 'a')).toBe(503);
  });

  test('an engine that stops answering is taken for gone, and no copy is used any more', async () => {
    await using redis = await RedisServer.start();
    await using one = await startTestServer({ TIER_URL: redis.url });
    await one.client.put('a', 'v');
    redis.signal('SIGSTOP');
    const startedMs = performance.now();
    await expect.poll(() => read(one, 'a')).toBe(503);
    expect(performance.now() - startedMs).toBeLessThan(3000);
    redis.signal('SIGCONT');
    await expect.poll(() => read(one, 'a')).toBe('v');
  });
});

test('without TIER_URL, nothing of the tier is loaded', async () => {
  const workerUrl = new URL('../support/no-tier-worker.ts', import.meta.url);
  await using server = await startTestServer({ SHARDS: '1' }, workerUrl);
  await server.client.put('a', 'v');
  expect(await read(server, 'a')).toBe('v');
  expect(await server.client.stats()).not.toHaveProperty('tier');
  const withTier = startTestServer({ SHARDS: '1', TIER_URL: 'redis://127.0.0.1:1' }, workerUrl);
  await expect(withTier).rejects.toThrow('is loaded');
});
