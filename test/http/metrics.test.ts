import { spawnSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { LogSink } from '../../src/log-events.ts';
import { ALL_FAMILIES, ROUTING_FAMILIES, SHARD_FAMILIES } from '../../src/metrics/families.ts';
import { guardedServer } from '../support/guarded-server.ts';
import type { CountName } from '../support/http-client.ts';
import { samplesOf, scrape } from '../support/metrics-text.ts';
import { programPath } from '../support/program.ts';
import { requestText } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const PROMTOOL = programPath('promtool', 'what /metrics says is not checked with it');

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2', RATE_LIMIT: '0' });
});
afterAll(async () => server[Symbol.asyncDispose]());

type Kind = readonly [route: string, method: string, status: number | string];

function countOf(samples: ReadonlyMap<string, number>, [route, method, status]: Kind): number {
  const labels = `route="${route}",method="${method}",status="${status}"`;
  return samples.get(`kvc_http_request_duration_seconds_count{${labels}}`) ?? 0;
}

describe('GET /metrics', () => {
  test('has the type of the text format, and gzip for who wants it', async () => {
    const plain = await server.client.get('/metrics');
    expect(plain.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(plain.headers['cache-control']).toBe('no-store');
    const zipped = await server.client.get('/metrics', { 'accept-encoding': 'gzip' });
    expect(zipped.headers['content-encoding']).toBe('gzip');
    const names = [...samplesOf(gunzipSync(zipped.bytes).toString()).keys()];
    expect(names).toContain('kvc_info{version="0.1.0"}');
    expect((await server.client.call({ method: 'HEAD', path: '/metrics' })).status).toBe(200);
  });

  test('has every metric once, with help and type before its samples, and no other', async () => {
    const { text } = await server.client.get('/metrics');
    const declared = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    expect(declared.toSorted()).toStrictEqual(
      ALL_FAMILIES.map(({ name, type }) => `${name} ${type}`).toSorted(),
    );
    for (const { name, help } of ALL_FAMILIES)
      expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} `);
    for (const name of samplesOf(text).keys()) {
      const family = /^[a-z_]+/.exec(name)![0].replace(/_(bucket|sum|count)$/, '');
      expect(ALL_FAMILIES.map((one) => one.name)).toContain(family);
    }
    expect(text.endsWith('\n')).toBe(true);
  });

  test.skipIf(PROMTOOL === '')('promtool has nothing against it', async () => {
    const { text } = await server.client.get('/metrics');
    const { status, stdout, stderr } = spawnSync(PROMTOOL, ['check', 'metrics'], {
      input: text,
      encoding: 'utf8',
    });
    expect([status, stdout + stderr]).toStrictEqual([0, '']);
  });

  test('has each counter of each shard as /stats has it, and the memory', async () => {
    const { client } = server;
    for (let i = 0; i < 20; i++) await client.put(`key-${i}`, 'v');
    for (let i = 0; i < 30; i++) await client.get(`/cache/key-${i}`);
    const { shards, memory } = await client.stats();
    // Figures of shards are up to a second old: hits may be there before the misses, which came last.
    const lookups = (samples: ReadonlyMap<string, number>): number[][] =>
      shards.map(({ shard }) =>
        ['hits', 'misses'].map((name) => samples.get(`kvc_${name}_total{shard="${shard}"}`)!),
      );
    await expect
      .poll(async () => lookups(await scrape(client)), { timeout: 5000 })
      .toStrictEqual(shards.map(({ hits, misses }) => [hits, misses]));
    const samples = await scrape(client);
    for (const { name, counter } of [...SHARD_FAMILIES, ...ROUTING_FAMILIES]) {
      if (counter === 'oldestAgeSeconds') continue;
      for (const row of shards) {
        const value = samples.get(`${name}{shard="${row.shard}"}`);
        expect([name, value]).toStrictEqual([name, row[counter as CountName]]);
      }
    }
    expect(samples.get('kvc_memory_limit_bytes')).toBe(memory.limitBytes);
    expect(samples.get('kvc_memory_held_bytes')).toBe(memory.heldBytes);
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(2 ** 24);
    expect(samples.get('process_start_time_seconds')).toBeLessThan(Date.now() / 1000);
    expect(samples.get('kvc_http_connections')).toBe(1);
    // The scrape itself.
    expect(samples.get('kvc_http_requests_in_progress')).toBe(1);
  });

  test('says what each thread does', async () => {
    await scrape(server.client);
    await expect
      .poll(async () => {
        const samples = await scrape(server.client);
        return ['main', 'shard-0', 'shard-1'].every(
          (thread) => samples.get(`kvc_event_loop_delay_seconds_count{thread="${thread}"}`)! > 0,
        );
      })
      .toBe(true);
    const samples = await scrape(server.client);
    for (const thread of ['main', 'shard-0', 'shard-1']) {
      for (const name of ['event_loop_active', 'event_loop_idle', 'thread_cpu']) {
        const value = samples.get(`kvc_${name}_seconds_total{thread="${thread}"}`);
        expect(value, `${name} ${thread}`).toBeGreaterThan(0);
      }
      expect(samples.get(`kvc_gc_pause_seconds_count{thread="${thread}"}`)).toBeGreaterThanOrEqual(0);
    }
  });

  test('heartbeats bring the figures of the next scrape', async () => {
    await using watched = await startTestServer({ SHARDS: '2' });
    await scrape(watched.client);
    for (const { mailbox } of watched.router.shards) {
      const request = vi.spyOn(mailbox!.control, 'request');
      await expect
        .poll(() => request.mock.calls, { timeout: 5000 })
        .toContainEqual([{ kind: 'stats', withThread: true }]);
    }
  });

  test('leaves out the counters of a shard that is down, and says so', async () => {
    await using broken = await startTestServer({ SHARDS: '2' });
    const { router, client } = broken;
    const [, dead] = router.shards;
    await dead.stop();
    const samples = await scrape(client);
    expect(samples.get('kvc_shard_up{shard="0"}')).toBe(1);
    expect(samples.get('kvc_shard_up{shard="1"}')).toBe(0);
    expect(samples.has('kvc_hits_total{shard="1"}')).toBe(false);
    expect(samples.has('kvc_restarts_total{shard="1"}')).toBe(true);
  });
});

describe('requests', () => {
  test('are counted by route, method and status, wherever they are answered', async () => {
    const { client } = server;
    const before = await scrape(client);
    const asked = [
      { call: { path: '/cache/key-1' }, as: ['/cache/{key}', 'GET', 200] },
      { call: { path: '/cache/none' }, as: ['/cache/{key}', 'GET', 404] },
      { call: { path: `/cache/${'k'.repeat(300)}` }, as: ['/cache/{key}', 'GET', 400] },
      { call: { method: 'HEAD', path: '/cache/key-1' }, as: ['/cache/{key}', 'HEAD', 200] },
      { call: { path: '/get?key=key-1' }, as: ['/get', 'GET', 200] },
      { call: { method: 'DELETE', path: '/cache/key-1' }, as: ['/cache/{key}', 'DELETE', 204] },
      { call: { method: 'PUT', path: '/cache', body: 'x' }, as: ['/cache', 'PUT', 415] },
      { call: { path: '/stats' }, as: ['/stats', 'GET', 200] },
      { call: { path: '/a-path/nobody/knows' }, as: ['unmatched', 'other', 404] },
      { call: { method: 'PURGE', path: '/cache/key-1' }, as: ['unmatched', 'other', 405] },
      { call: { path: '/health', headers: { expect: 'magic' } }, as: ['/health', 'GET', 417] },
    ] as const;
    for (const { call, as } of asked) expect((await client.call(call)).status).toBe(as[2]);
    const after = await scrape(client);
    for (const { as } of asked) expect([as, countOf(after, as) - countOf(before, as)]).toStrictEqual([as, 1]);
  });

  test('whose client goes before the answer have no status', async () => {
    const cut: Kind = ['/cache', 'PUT', 'none'];
    const before = await scrape(server.client);
    const raw = await RawSocket.open(server.port);
    raw.write(
      'PUT /cache HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{',
    );
    await expect.poll(() => server.app.purse.totals.requests).toBe(1);
    raw.socket.resetAndDestroy();
    await expect.poll(() => server.app.purse.totals.requests).toBe(0);
    const after = await scrape(server.client);
    expect(countOf(after, cut) - countOf(before, cut)).toBe(1);
  });

  test('that are slow are told of at the level debug', async () => {
    const lines: string[] = [];
    const sink: LogSink = {
      debug: (_fields, message) => lines.push(message),
      info: drop,
      warn: drop,
      error: drop,
    };
    await using slow = await startTestServer({ SHARDS: '1' }, undefined, sink);
    const raw = await RawSocket.open(slow.port);
    const head =
      'PUT /cache HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n';
    raw.write(head);
    await expect.poll(() => slow.app.purse.totals.requests).toBe(1);
    const endMs = performance.now() + 110;
    while (performance.now() < endMs);
    raw.write('{"key":"a","value":"b"}');
    await raw.until(/201 Created/);
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatch(/^slow: PUT \/cache was answered 201 after \d{3,} ms$/);
  });
});

const drop = (): void => undefined;

function refusalsOf(samples: ReadonlyMap<string, number>, reason: string): number {
  return samples.get(`kvc_http_refusals_total{reason="${reason}"}`)!;
}

describe('refusals', () => {
  test('of shards are counted by reason', async () => {
    await using broken = await startTestServer({ SHARDS: '1', REQUEST_DEADLINE_MS: '100' });
    const { client, router } = broken;
    await router.shards[0].stop();
    expect((await client.get('/cache/a')).status).toBe(503);
    expect((await client.put('a', 'v')).status).toBe(503);
    const samples = await scrape(client);
    expect(refusalsOf(samples, 'shard_unavailable')).toBe(2);
    expect(refusalsOf(samples, 'shard_busy')).toBe(0);
  });

  test('of a full queue are counted', async () => {
    await using small = await startTestServer({ SHARDS: '1', SHARD_QUEUE_LIMIT: '4' });
    const raw = await RawSocket.open(small.port);
    raw.write(requestText('/cache/a').repeat(15));
    raw.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
    const refused = (await raw.ended()).split('CACHE_ERR_SHARD_BUSY').length - 1;
    expect(refused).toBeGreaterThan(0);
    expect(refusalsOf(await scrape(small.client), 'shard_busy')).toBe(refused);
  });

  test('of clients that ask too often, or without the token, are counted', async () => {
    await using guarded = await startTestServer({ SHARDS: '1', AUTH_TOKEN: 'secret', RATE_LIMIT: '3' });
    const { client } = guarded;
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await client.get('/cache/a')).status);
    expect(statuses).toStrictEqual([401, 401, 401, 429, 429]);
    const { refusals } = guarded.app.traffic.counts;
    await expect.poll(() => [refusals.unauthorized, refusals.rate_limit]).toStrictEqual([3, 2]);
  });

  test('of more reports than are made at once are counted', async () => {
    const before = refusalsOf(await scrape(server.client), 'admin');
    const raw = await RawSocket.open(server.port);
    raw.write(requestText('/stats').repeat(30));
    raw.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
    await raw.ended();
    expect(refusalsOf(await scrape(server.client), 'admin') - before).toBe(14);
  });

  test('at the door, and connections that are cut off, are counted', async () => {
    const {
      server: bare,
      traffic,
      door,
    } = guardedServer((_request, response) => response.end('ok'), {
      doorLimits: { maxConnections: 1, reserve: 1, waiting: 1, stalledTimeoutMs: 30_000 },
    });
    const first = await RawSocket.openTo(bare);
    first.write(requestText('/'));
    await first.until(/ok/);
    const { port } = bare.address() as AddressInfo;
    const inReserve = await RawSocket.open(port);
    await expect.poll(() => door.size).toBe(2);
    const waiting = await RawSocket.open(port);
    await expect.poll(() => door.waitingCount).toBe(1);
    await RawSocket.open(port);
    await waiting.ended();
    expect(traffic.counts.cutOffs.waited).toBe(1);
    inReserve.write(requestText('/'));
    await inReserve.until(/503/);
    await expect.poll(() => traffic.counts.refusals.connections).toBe(1);
  });

  test('a connection with too many requests is counted once', async () => {
    const { server: bare, traffic, purse } = guardedServer(() => undefined, { limits: { requests: 20 } });
    const raw = await RawSocket.openTo(bare);
    raw.write(requestText('/').repeat(40));
    await raw.ended();
    await expect.poll(() => purse.totals.requests).toBe(0);
    expect(traffic.counts.cutOffs).toMatchObject({ unanswered: 1, stalled: 0 });
    // They had no answer.
    expect(
      traffic.times.snapshot().map(({ status, cumulative }) => [status, cumulative.at(-1)]),
    ).toStrictEqual([[0, 21]]);
  });
});
