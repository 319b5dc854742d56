import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { MAX_WATCHERS } from '../../src/dashboard/feed.ts';
import { type HttpClient, cachePath, expectError } from '../support/http-client.ts';
import { HttpPipe } from '../support/http-pipe.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';
import { connectionsByFront, servingFronts, spreadClients } from '../support/spread-clients.ts';

const FRONTS = 4;
const REPLACED_MS = 200;
const COUNT = 'kvc_http_request_duration_seconds_count';
const GETS = `${COUNT}{route="/cache/{key}",method="GET",status="200"}`;
const RESTARTS = 'kvc_http_thread_restarts_total';
const PUTS = `${COUNT}{route="/cache",method="PUT",status="201"}`;

let server: TestServer;
let byFront: Map<number, HttpClient[]>;

beforeAll(async () => {
  server = await startTestServer({ FRONTS: String(FRONTS), SHARDS: '2' });
});
afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  byFront = await spreadClients(server, 2);
});
afterEach(async () => {
  for (const client of [...byFront.values()].flat()) client.close();
  server.client.close();
  await expect.poll(async () => (await connectionsByFront(server)).reduce((sum, n) => sum + n)).toBe(0);
});

const countOf = (sample: string, text: string): number =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${sample} `))
      ?.slice(sample.length),
  );
const firstOfEach = (): HttpClient[] => [...byFront.values()].map(([client]) => client);

describe('four HTTP threads', () => {
  test('a read behind DELETE /cache on one connection finds nothing, whichever thread and shard serve it', async () => {
    const keys = Array.from({ length: 8 }, (_, i) => `key-${i}`);
    // The kernel chooses the thread of each: hardly ever the same one for all.
    const pipes = await Promise.all(Array.from({ length: 16 }, () => HttpPipe.open(server.port)));
    for (const pipe of pipes) {
      await Promise.all(keys.map((key) => pipe.put(key, 'v')));
      const replies = [pipe.delete('/cache'), ...keys.map((key) => pipe.get(cachePath(key)))];
      const statuses = (await Promise.all(replies)).map(({ status }) => status);
      expect(statuses).toStrictEqual([200, ...keys.map(() => 404)]);
      pipe.close();
    }
  });

  test('serve the same cache', async () => {
    for (const [i, writer] of firstOfEach().entries()) {
      expect((await writer.put(`key-${i}`, `value-${i}`)).status).toBe(201);
      for (const reader of firstOfEach()) {
        expect((await reader.get(cachePath(`key-${i}`))).text).toContain(`"value-${i}"`);
      }
    }
    const [first, second] = firstOfEach();
    const large = 'x'.repeat(600_000);
    await first.put('large', large);
    const { text } = await second.get(cachePath('large'));
    expect(JSON.parse(text)).toMatchObject({ value: large });
    const raw = Buffer.alloc(3 * 2 ** 20, 7);
    await second.call({ method: 'PUT', path: '/kv/raw', body: raw });
    expect((await first.get('/kv/raw')).bytes.equals(raw)).toBe(true);
    expect((await second.call({ method: 'DELETE', path: '/cache' })).text).toContain(
      `"removed":${FRONTS + 2}`,
    );
  });

  test('say the same in /stats and /metrics', async () => {
    const before = await server.client.stats();
    const gotBefore = countOf(GETS, (await server.client.get('/metrics')).text);
    server.client.close();
    for (const client of firstOfEach()) {
      await client.put('key', 'value');
      await client.get(cachePath('key'));
    }
    const all = await Promise.all(firstOfEach().map((client) => client.stats()));
    const [first] = all;
    const { puts, hits } = first.totals;
    expect([puts - before.totals.puts, hits - before.totals.hits]).toStrictEqual([FRONTS, FRONTS]);
    expect(first.connections.open).toBe(FRONTS * 2);
    // The spare thread has no connections to give.
    const share = server.app.frontDoor.limits.maxConnections;
    expect(Math.round(first.connections.limit / share)).toBe(FRONTS);
    for (const stats of all) {
      const { totals, connections, refusals, cutOffs, configuration } = stats;
      expect({ totals, connections, refusals, cutOffs, configuration }).toStrictEqual({
        totals: { ...first.totals, inFlight: totals.inFlight },
        connections: first.connections,
        refusals: first.refusals,
        cutOffs: first.cutOffs,
        configuration: first.configuration,
      });
    }
    for (const client of firstOfEach()) {
      const { text } = await client.get('/metrics');
      expect(countOf(GETS, text)).toBe(gotBefore + FRONTS);
      expect(text).toContain(`kvc_http_connections ${FRONTS * 2}\n`);
      for (const front of [1, 2, 3]) {
        expect(text).toContain(`kvc_thread_cpu_seconds_total{thread="front-${front}"}`);
      }
    }
  });

  test('show the dashboard, to as many as one thread would', async () => {
    const sockets: RawSocket[] = [];
    onTestFinished(() => sockets.forEach((socket) => socket.close()));
    const watch = async (): Promise<RawSocket> => {
      const raw = await RawSocket.open(server.port);
      sockets.push(raw);
      raw.write('GET /dashboard/feed HTTP/1.1\r\nhost: test\r\n\r\n');
      return raw;
    };
    for (let i = 0; i < MAX_WATCHERS; i++) await (await watch()).until(/event: start/);
    for (const socket of sockets) await socket.until(/event: sample/);
    for (const client of firstOfEach()) {
      expectError(await client.get('/dashboard/feed'), 503, 'CACHE_ERR_BUSY');
    }
    sockets[0].close();
    await expect
      .poll(async () => {
        const raw = await watch();
        await raw.until(/\r\n\r\n/);
        return raw.text;
      })
      .toMatch(/^HTTP\/1\.1 200 OK/);
    sockets.forEach((socket) => socket.close());
  });
});

describe('an HTTP thread that dies', () => {
  test('loses its own connections only, and another serves within 200 ms', async () => {
    const tookMs: number[] = [];
    for (let i = 0; i < 3; i++) {
      const [, victim] = servingFronts(server);
      const front = server.fronts.fronts[victim - 1];
      const startedMs = performance.now();
      await front.kill();
      await expect.poll(() => servingFronts(server).length, { interval: 1 }).toBe(FRONTS);
      tookMs.push(Math.round(performance.now() - startedMs));
      // The dead thread becomes the spare one.
      await expect.poll(() => front.state).toBe('up');
      expect(front.serves).toBe(false);
    }
    console.log(`a killed HTTP thread was replaced after ${tookMs.join(', ')} ms`);
    expect(Math.min(...tookMs)).toBeLessThan(REPLACED_MS);
  });

  test('takes no others with it, loses no counts, and its successor serves', async () => {
    const victim = servingFronts(server)[1];
    for (const client of firstOfEach()) await client.put('key', 'value');
    // Figures come with each heartbeat; what comes between the last one and the death is lost.
    const { totals: before } = await server.client.stats();
    const { text: textBefore } = await server.client.get('/metrics');
    const restartsBefore = countOf(RESTARTS, textBefore);
    expect(restartsBefore).toBeGreaterThanOrEqual(0);
    // Its connection may be one that is lost.
    server.client.close();
    await server.fronts.fronts[victim - 1].kill();
    await expect.poll(() => servingFronts(server).length, { interval: 1 }).toBe(FRONTS);
    expect((await server.client.stats()).totals.puts).toBe(before.puts);
    const { text } = await server.client.get('/metrics');
    expect(countOf(PUTS, text)).toBe(countOf(PUTS, textBefore));
    expect(countOf(RESTARTS, text)).toBe(restartsBefore + 1);
    const sockets = await connectionsByFront(server);
    for (const [front, clients] of byFront) {
      if (front === victim) continue;
      for (const client of clients) expect((await client.get(cachePath('key'))).status).toBe(200);
    }
    // They have not connected anew.
    expect(await connectionsByFront(server)).toStrictEqual(sockets);
    const successors = await spreadClients(server, 1);
    for (const [client] of successors.values()) {
      expect((await client.get(cachePath('key'))).text).toContain('"value"');
      client.close();
    }
  });
});

test('a shard that is replaced has a new session with each HTTP thread', async () => {
  for (const shard of server.router.shards) await shard.kill();
  await expect.poll(() => server.router.isReady, { interval: 1 }).toBe(true);
  for (const client of firstOfEach()) {
    await expect.poll(async () => (await client.get('/ready')).status).toBe(200);
    for (let i = 0; i < 10; i++) expect((await client.put(`again-${i}`, 'v')).status).toBe(201);
    const health = await client.get('/health');
    expect(health.text).toContain(
      '{"shard":0,"state":"up","restarts":1},{"shard":1,"state":"up","restarts":1}',
    );
  }
});

test('all HTTP threads are told of the shutdown', async () => {
  server.beginShutdown();
  for (const client of firstOfEach()) {
    await expect.poll(async () => (await client.get('/ready')).status).toBe(503);
    expect((await client.put('key', 'value')).status).toBe(201);
  }
});
