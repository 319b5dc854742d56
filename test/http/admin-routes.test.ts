import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pino } from 'pino';
import packageJson from '../../package.json' with { type: 'json' };
import { CUT_OFFS, REFUSALS } from '../../src/metrics/refusals.ts';
import type { Counts } from '../support/http-client.ts';
import { requestText, statusesIn } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const COUNT_NAMES: readonly (keyof Counts)[] = [
  'entries',
  'liveBytes',
  'reservedBytes',
  'hits',
  'misses',
  'puts',
  'deletes',
  'cleared',
  'evicted',
  'expired',
  'shedOrders',
  'shedEntries',
  'shedBytes',
  'restarts',
  'inFlight',
  'busyRejections',
];

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '3', MEMORY_LIMIT: '2gb' });
});

afterAll(() => server[Symbol.asyncDispose]());

describe('GET /health', () => {
  test('says that the process serves, and how each shard is', async () => {
    const answer = await server.client.get('/health');
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      status: 'OK',
      shards: [0, 1, 2].map((shard) => ({ shard, state: 'up', restarts: 0 })),
    });
  });
});

describe('GET /ready', () => {
  test('says OK when every shard is up', async () => {
    const answer = await server.client.get('/ready');
    expect([answer.status, answer.text]).toStrictEqual([200, '{"status":"OK"}']);
  });
});

function zeros(reasons: object): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.keys(reasons).map((reason) => [reason, 0]));
}

describe('GET /stats', () => {
  test('counts refusals, and connections beside their limit, as /metrics does', async () => {
    const messages: string[] = [];
    const sink = pino({ level: 'info' }, { write: (line) => messages.push(line) });
    await using small = await startTestServer({ SHARDS: '1' }, undefined, sink);
    const { client, app, port } = small;
    Object.assign(app.frontDoor.limits, { maxConnections: 1, reserve: 1, waiting: 0 });
    const before = await client.stats();
    expect(before.connections).toStrictEqual({ open: 1, waiting: 0, limit: 1 });
    expect(before.refusals).toStrictEqual(zeros(REFUSALS));
    expect(before.cutOffs).toStrictEqual(zeros(CUT_OFFS));
    const refused = await RawSocket.open(port);
    refused.write('GET /cache/a HTTP/1.1\r\nhost: test\r\n\r\n');
    expect(await refused.ended()).toMatch(/^HTTP\/1\.1 503 /);
    await expect
      .poll(async () => (await client.stats()).refusals)
      .toStrictEqual({ ...before.refusals, connections: 1 });
    const { text } = await client.get('/metrics');
    expect(text).toContain('kvc_http_refusals_total{reason="connections"} 1\n');
    const line = '"msg":"connections have reached their limit of 1: further ones are refused"';
    await expect.poll(() => messages.filter((one) => one.includes(line)).length).toBe(1);
  });

  test('has totals, a row per shard, memory, uptime, version and configuration', async () => {
    const stats = await server.client.stats();
    expect(stats).toMatchObject({
      status: 'OK',
      version: packageJson.version,
      uptimeSeconds: expect.any(Number),
      totals: expect.objectContaining(
        Object.fromEntries(COUNT_NAMES.map((name) => [name, expect.any(Number)])),
      ),
      memory: {
        limitBytes: 2 ** 31,
        limitSource: 'MEMORY_LIMIT',
        residentBytes: expect.any(Number),
        usedBytes: expect.any(Number),
        usedShare: expect.any(Number),
        threshold: 0.7,
        lastOrder: null,
      },
      configuration: { SHARDS: 3, MEMORY_LIMIT: 2 ** 31, MAX_KEY_LENGTH: 256, GZIP_THRESHOLD_BYTES: 1024 },
    });
    expect(stats.shards.map(({ shard, state }) => ({ shard, state }))).toStrictEqual(
      [0, 1, 2].map((shard) => ({ shard, state: 'up' })),
    );
    for (const row of stats.shards)
      for (const name of COUNT_NAMES) expect(row[name]).toEqual(expect.any(Number));
    expect(stats.memory.residentBytes).toBeGreaterThan(2 ** 24);
    expect(stats.memory.usedShare).toBeCloseTo(stats.memory.usedBytes / 2 ** 31, 6);
  });

  test('counts what was done, in the totals as in the rows', async () => {
    const { client } = server;
    const before = (await client.stats()).totals;
    const keys = Array.from({ length: 30 }, (_, i) => `counted-${i}`);
    for (const key of keys) await client.put(key, 'x'.repeat(100));
    await client.put(keys[0], 'y');
    for (const key of keys.slice(0, 20)) await client.get(`/cache/${key}`);
    for (const key of ['none-1', 'none-2', 'none-3']) await client.get(`/cache/${key}`);
    for (const key of [...keys.slice(25), 'none-1']) {
      await client.call({ method: 'DELETE', path: `/cache/${key}` });
    }
    const { totals, shards } = await client.stats();
    expect(totals.entries - before.entries).toBe(25);
    expect(totals.puts - before.puts).toBe(31);
    expect(totals.hits - before.hits).toBe(20);
    expect(totals.misses - before.misses).toBe(3);
    expect(totals.deletes - before.deletes).toBe(5);
    expect(totals.liveBytes - before.liveBytes).toBeGreaterThan(24 * 100);
    expect(totals.reservedBytes).toBeGreaterThanOrEqual(totals.liveBytes);
    expect(totals.inFlight).toBe(0);
    for (const name of COUNT_NAMES) {
      expect([name, shards.reduce((sum, row) => sum + row[name], 0)]).toStrictEqual([name, totals[name]]);
    }
  });

  test('counts what was removed when the cache was emptied', async () => {
    await using emptied = await startTestServer({ SHARDS: '2' });
    const { client } = emptied;
    for (let i = 0; i < 20; i++) await client.put(`key-${i}`, 'v');
    await client.call({ method: 'DELETE', path: '/cache/key-0' });
    await client.call({ method: 'DELETE', path: '/cache' });
    const { totals } = await client.stats();
    expect([totals.entries, totals.deletes, totals.cleared]).toStrictEqual([0, 1, 19]);
  });

  test('counts what has expired', async () => {
    const { client } = server;
    const before = (await client.stats()).totals.expired;
    await client.put('gone', 'v', 0.001);
    await expect.poll(async () => (await client.stats()).totals.expired).toBe(before + 1);
  });

  test('counts what a capacity has evicted', async () => {
    await using small = await startTestServer({ SHARDS: '2', CAPACITY: '10' });
    for (let i = 0; i < 25; i++) await small.client.put(`key-${i}`, 'v');
    const { totals } = await small.client.stats();
    expect([totals.entries, totals.evicted]).toStrictEqual([10, 15]);
  });
});

test('with several shards a capacity displaces nothing up to the documented number of entries', async () => {
  const [shards, capacity] = [4, 20];
  await using small = await startTestServer({ SHARDS: String(shards), CAPACITY: String(capacity) });
  const keys = Array.from({ length: capacity - shards + 1 }, (_, i) => `key-${i}`);
  for (const key of keys) await small.client.put(key, 'v');
  for (const key of keys) expect((await small.client.get(`/cache/${key}`)).status).toBe(200);
  const { totals } = await small.client.stats();
  expect([totals.entries, totals.evicted]).toStrictEqual([keys.length, 0]);
});

describe('answers that are long', () => {
  test.each(['/docs/swagger-ui-bundle.js', '/openapi.json', '/stats'])(
    'answers as many at once as are worth it: %s',
    async (path) => {
      // The place of the answer before is given back when it has left.
      await expect.poll(() => server.app.purse.totals.adminAnswers).toBe(0);
      const raw = await RawSocket.open(server.port);
      raw.write(requestText(path).repeat(100));
      raw.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
      const text = await raw.ended();
      const statuses = statusesIn(text);
      expect(statuses.length).toBe(101);
      expect(statuses.filter((status) => status === '200').length).toBe(17);
      expect(statuses.filter((status) => status === '503').length).toBe(84);
      expect(text).toMatch(/Retry-After/i);
      expect((await server.client.get(path)).status).toBe(200);
    },
  );

  test('takes none of its places for clients that have gone', async () => {
    const { purse } = server.app;
    for (let i = 0; i < 5; i++) {
      const raw = await RawSocket.open(server.port);
      raw.socket.pause();
      // More than the system takes of a client that reads nothing, so that the others wait for their turn.
      raw.write(requestText('/docs/swagger-ui-bundle.js').repeat(8));
      raw.write(requestText('/openapi.json').repeat(4));
      await expect.poll(() => purse.totals.requests).toBeGreaterThan(4);
      await server.client.get('/health');
      raw.socket.resetAndDestroy();
      await expect.poll(() => purse.totals.requests).toBe(0);
    }
    await expect.poll(async () => (await server.client.get('/stats')).status).toBe(200);
    const answers = await Promise.all(Array.from({ length: 16 }, () => server.client.get('/openapi.json')));
    expect(answers.map(({ status }) => status)).toStrictEqual(Array(16).fill(200));
  });
});
