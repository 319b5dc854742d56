import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EventRing } from '../../src/dashboard/events.ts';
import { Feed, MAX_WATCHERS } from '../../src/dashboard/feed.ts';
import type { Sample, Stats } from '../../src/dashboard/samples.ts';
import { registerFeed } from '../../src/http/routes/dashboard-routes.ts';
import { logEvent, filesReadAgain } from '../../src/log-events.ts';
import { RefusalCounts } from '../../src/metrics/refusals.ts';
import { expectError } from '../support/http-client.ts';
import { startTestServer } from '../support/server.ts';

interface Start {
  readonly version: string;
  readonly events: readonly { readonly message: string }[];
}

/** Somebody who has the feed open. */
class Listener {
  readonly answer: IncomingMessage;
  text = '';
  hasEnded = false;

  private constructor(answer: IncomingMessage) {
    this.answer = answer;
    answer.setEncoding('utf8').on('data', (chunk: string) => (this.text += chunk));
    answer.on('close', () => (this.hasEnded = true)).on('error', () => undefined);
    onTestFinished(() => void answer.destroy());
  }

  static async open(port: number, headers: Readonly<Record<string, string>> = {}): Promise<Listener> {
    const sent = request({ host: '127.0.0.1', port, path: '/dashboard/feed', headers, agent: false }).end();
    const [answer]: IncomingMessage[] = await once(sent, 'response');
    return new Listener(answer);
  }

  get start(): Start {
    return JSON.parse(/^event: start\ndata: (.*)$/m.exec(this.text)![1]) as Start;
  }

  get samples(): Sample[] {
    return [...this.text.matchAll(/^event: sample\ndata: (.*)$/gm)].map(
      ([, data]) => JSON.parse(data) as Sample,
    );
  }
}

describe('GET /dashboard/feed', () => {
  test('tells what is logged, and each second what the server holds and does', async () => {
    await using server = await startTestServer({ SHARDS: '2' });
    const listener = await Listener.open(server.port, { 'accept-encoding': 'gzip' });
    const { statusCode, headers } = listener.answer;
    expect([statusCode, headers['content-type'], headers['cache-control']]).toStrictEqual([
      200,
      'text/event-stream; charset=utf-8',
      'no-store',
    ]);
    expect([headers['content-encoding'], headers['x-accel-buffering']]).toStrictEqual([undefined, 'no']);
    await expect.poll(() => listener.samples.length).toBe(1);
    expect(listener.start.events.map(({ message }) => message)).toStrictEqual([
      expect.stringMatching(/^listening on .* with 2 shards/),
    ]);
    for (let i = 0; i < 20; i++) await server.client.put(`key-${i}`, 'v');
    logEvent(server.logger, filesReadAgain());
    await Promise.all(['key-1', 'nothing'].map((key) => server.client.get(`/cache/${key}`)));
    await expect.poll(() => listener.samples.some(({ hitRatio }) => hitRatio !== null)).toBe(true);
    const last = listener.samples.find(({ hitRatio }) => hitRatio !== null)!;
    expect(last.memory.limitBytes).toBe(server.limits.limitBytes);
    expect([last.hitRatio, last.shards.length]).toStrictEqual([0.5, 2]);
    expect(last.shards[0].entries + last.shards[1].entries).toBe(20);
    expect(last.latencyMs!.p99).toBeGreaterThan(0);
    const told = listener.samples.flatMap(({ events }) => events.map(({ message }) => message));
    expect(told).toStrictEqual([filesReadAgain().message]);
  });

  test(`may be open ${MAX_WATCHERS} times; one that goes makes room`, async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    const listeners = [];
    for (let i = 0; i < MAX_WATCHERS; i++) listeners.push(await Listener.open(server.port));
    expectError(await server.client.get('/dashboard/feed'), 503, 'CACHE_ERR_BUSY', /16 times/);
    // Those that watch are not among the answers that are bounded together.
    expect((await server.client.get('/stats')).status).toBe(200);
    listeners[0].answer.destroy();
    await expect.poll(async () => (await Listener.open(server.port)).answer.statusCode).toBe(200);
  });

  test('a shutdown does not wait for it, tells it why, and ends it', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    const listener = await Listener.open(server.port);
    await expect.poll(() => listener.samples.length).toBeGreaterThan(0);
    expect(server.app.purse.totals.requests).toBe(0);
    const beganMs = performance.now();
    await server.close();
    expect(performance.now() - beganMs).toBeLessThan(2500);
    await expect.poll(() => listener.hasEnded).toBe(true);
    expect(listener.answer.complete).toBe(true);
  });

  test('wants the token', async () => {
    await using server = await startTestServer({ SHARDS: '1', AUTH_TOKEN: 'sesame' });
    expectError(await server.client.get('/dashboard/feed'), 401, 'CACHE_ERR_UNAUTHORIZED');
    const { answer } = await Listener.open(server.port, { authorization: 'Bearer sesame' });
    expect(answer.statusCode).toBe(200);
    expect((await server.client.get('/dashboard')).text).toContain('data-wants-token="true"');
  });

  test('cannot be asked for by HEAD: it would not end', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    expect((await server.client.call({ method: 'HEAD', path: '/dashboard/feed' })).status).toBe(405);
  });

  test('a client that takes nothing is dropped, and little is held for it', async () => {
    const shards = Array.from({ length: 1000 }, (_, shard) => ({
      shard,
      state: 'up',
      inFlight: 0,
    }));
    const memory = { limitBytes: 1, thresholdBytes: 1, ceilingBytes: 1, usedBytes: 1, heldBytes: 1 };
    const stats: Stats = { uptimeSeconds: 1, shards, memory, refusals: new RefusalCounts().refusals };
    const feed = new Feed({
      version: '1',
      stats: () => Promise.resolve(stats),
      times: () => Promise.resolve([]),
      events: new EventRing(() => 0),
      nowMs: () => 0,
      onError: () => undefined,
    });
    const app = fastify().setSerializerCompiler(() => JSON.stringify);
    onTestFinished(() => app.close());
    registerFeed(app, feed);
    await app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = app.server.address() as AddressInfo;
    const { answer } = await Listener.open(port);
    answer.pause();
    answer.socket.pause();
    let sent = 0;
    while (feed.size > 0 && sent++ < 1000) {
      await feed.tick();
      await new Promise(setImmediate);
    }
    // What the system's buffers have taken.
    expect([feed.size, sent < 1000]).toStrictEqual([0, true]);
  });
});

function inspect(key: string): string {
  return `/dashboard/entry?key=${encodeURIComponent(key)}`;
}

describe('GET /dashboard/entry', () => {
  test('says which shard owns a key, and what is known of its entry', async () => {
    await using server = await startTestServer({ SHARDS: '2' });
    await server.client.put('a key/?', 'value');
    await server.client.put('b', 'v', 60);
    const { status, entry, shard } = JSON.parse((await server.client.get(inspect('a key/?'))).text);
    expect([status, entry.keyBytes, entry.valueBytes, entry.ttlSeconds]).toStrictEqual(['OK', 7, 5, null]);
    expect(entry.entryBytes).toBeGreaterThan(12);
    const { shards } = JSON.parse((await server.client.get('/stats')).text);
    expect(shards[shard].puts).toBeGreaterThan(0);
    const other = JSON.parse((await server.client.get(inspect('b'))).text);
    expect(other.entry.ttlSeconds).toBeGreaterThan(50);
    expect(other.entry.ttlSeconds).toBeLessThanOrEqual(60);
    const none = JSON.parse((await server.client.get(inspect('nothing'))).text);
    expect(none).toStrictEqual({ status: 'OK', key: 'nothing', shard: expect.any(Number), entry: null });
  });

  test('is no read: it is not counted, and keeps no entry from being evicted', async () => {
    await using server = await startTestServer({ SHARDS: '1', CAPACITY: '3' });
    for (const key of ['a', 'b', 'c']) await server.client.put(key, 'v');
    for (let i = 0; i < 5; i++) await server.client.get(inspect('a'));
    await server.client.put('d', 'v');
    expect(JSON.parse((await server.client.get(inspect('a'))).text).entry).toBeNull();
    const { totals } = JSON.parse((await server.client.get('/stats')).text);
    expect([totals.hits, totals.misses]).toStrictEqual([0, 0]);
  });

  test('says what is wrong with the key, and that a shard is away', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    expectError(await server.client.get('/dashboard/entry'), 400, 'CACHE_ERR_KEY_INVALID');
    expectError(await server.client.get('/dashboard/entry?key='), 400, 'CACHE_ERR_KEY_INVALID');
    expectError(await server.client.get('/dashboard/entry?key=a&x=1'), 400, 'CACHE_ERR_UNKNOWN_PROPERTY');
    const killed = server.router.shards[0].kill();
    expectError(await server.client.get(inspect('a')), 503, 'CACHE_ERR_SHARD_UNAVAILABLE');
    await killed;
  });
});
