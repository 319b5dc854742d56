import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { ChildServer } from '../support/child-server.ts';
import { HttpClient } from '../support/http-client.ts';
import { getText, requestText } from '../support/http-text.ts';
import { IS_LONG } from '../support/long.ts';
import { scrape } from '../support/metrics-text.ts';
import { RawSocket } from '../support/raw-socket.ts';

/** What would take a process with little memory down, or out of service, if nothing bounded it. */
const LIMIT = '256mb';
const LIMIT_BYTES = 256 * 2 ** 20;
const CLIENTS = IS_LONG ? 8000 : 2000;
const ENV = { SHARDS: '1', MEMORY_LIMIT: LIMIT };
const PUT_HEAD = 'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n';

async function startSmall(
  env: Readonly<Record<string, string>> = {},
): Promise<{ child: ChildServer; port: number; client: HttpClient }> {
  const { child, port } = await ChildServer.listening({ env: { ...ENV, ...env } });
  return { child, port, client: new HttpClient(port) };
}

/** Puts values of 60,000 characters, eight at a time, under keys from `full-0` on. */
async function fill(client: HttpClient, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await client.put(`full-${next++}`, 'x'.repeat(60_000));
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

/** What a TLS client says first. */
async function clientHello(): Promise<Buffer> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const client = connectTls({ port: (listener.address() as AddressInfo).port, host: '127.0.0.1' });
  client.on('error', () => undefined);
  const [socket]: Socket[] = await once(listener, 'connection');
  const [hello]: Buffer[] = await once(socket, 'data');
  socket.destroy();
  listener.close();
  return hello;
}

function isAnswered({ text, isEnded }: RawSocket): boolean {
  return isEnded || text.startsWith('HTTP/1.1');
}

describe(`with ${LIMIT}`, { timeout: 120_000 }, () => {
  test('clients that pipeline by the thousand and never read are cut off', async () => {
    const { child, port, client } = await startSmall();
    await client.put('k', 'x'.repeat(3000));
    const requests = 'GET /cache/k HTTP/1.1\r\nhost: t\r\n\r\n'.repeat(2000);
    const raws = await Promise.all(Array.from({ length: 40 }, () => RawSocket.open(port)));
    for (const raw of raws) {
      raw.socket.pause();
      raw.write(requests);
    }
    await expect
      .poll(async () => (await client.get('/cache/k')).status, { timeout: 60_000, interval: 100 })
      .toBe(200);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES);
    for (const raw of raws) raw.close();
    client.close();
  });

  test('bodies that come by the hundred before there is room for them do not pass the limit', async () => {
    const { child, port, client } = await startSmall();
    await fill(client, 2000);
    const body = JSON.stringify({ key: 'k', value: 'x'.repeat(60_000) });
    const put = `${PUT_HEAD}content-length: ${body.length}\r\n\r\n${body}`;
    const raws = await Promise.all(Array.from({ length: 300 }, () => RawSocket.open(port)));
    // The first has all the room there is, and stands still.
    raws[0].write(`${PUT_HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{`);
    await client.get('/health');
    for (const raw of raws.slice(1)) raw.write(put.repeat(16));
    await expect.poll(() => raws.every(isAnswered), { timeout: 60_000 }).toBe(true);
    await expect.poll(async () => (await client.put('k', 'x'.repeat(60_000))).status).toBe(201);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES);
    for (const raw of raws) raw.close();
    client.close();
  });

  test.each([
    ['reset', true],
    ['stay', false],
  ])('thousands of clients that begin a body and %s do not end the process', async (_what, reset) => {
    const { child, port, client } = await startSmall();
    expect((await client.put('kept', '1')).status).toBe(201);
    const holder = await RawSocket.open(port);
    holder.write(`${PUT_HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{`);
    await client.get('/health');
    const raws = await RawSocket.openMany(port, CLIENTS);
    for (const raw of raws) raw.write(`${PUT_HEAD}content-length: 5000\r\n\r\n{`);
    await client.get('/health');
    if (reset) for (const raw of raws) raw.socket.resetAndDestroy();
    holder.socket.resetAndDestroy();
    await expect.poll(async () => (await client.get('/cache/kept')).status).toBe(200);
    for (const raw of raws) raw.close();
    await expect.poll(async () => (await client.put('k', 'x'.repeat(60_000))).status).toBe(201);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES);
    client.close();
  });

  test.each([
    ['whole', '\r\n'],
    ['unfinished', ''],
  ])('clients with many short headers by the hundred, %s, do not end the process', async (_what, end) => {
    const { child, port, client } = await startSmall();
    expect((await client.put('kept', '1')).status).toBe(201);
    const headers = Array.from({ length: 640 }, (_, i) => `h${i}:a\r\n`).join('');
    const raws = await RawSocket.openMany(port, 2400);
    for (const raw of raws) raw.write(`GET /cache/none HTTP/1.1\r\nhost: test\r\n${headers}${end}`);
    if (end !== '') await expect.poll(() => raws.every(isAnswered), { timeout: 60_000 }).toBe(true);
    expect((await client.get('/cache/kept')).status).toBe(200);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES);
    for (const raw of raws) raw.close();
    client.close();
  });

  test('TLS handshakes by the thousand that nobody goes on with leave room in memory, and for others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvc-small-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { certFile, keyFile, pem } = makeCertificate(folder, 'server');
    const env = { ...ENV, TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile };
    const { child, port } = await ChildServer.listening({ env });
    const client = new HttpClient(port, pem);
    await fill(client, 3200);
    const hello = (await clientHello()).toString('latin1');
    const raws = await RawSocket.openMany(port, 2000, { begin: (raw) => raw.write(hello) });
    // One of its own for each: who gets no place at once tries again.
    const isServed = async (): Promise<boolean> => {
      const next = new HttpClient(port, pem);
      try {
        return (await next.get('/cache/full-3199')).status === 200;
      } catch {
        return false;
      } finally {
        next.close();
      }
    };
    await expect.poll(isServed, { timeout: 5000 }).toBe(true);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES * 0.95);
    for (const raw of raws) raw.close();
    client.close();
  });

  test('large replies that wait behind others, with CONNECT behind them, give their room back at a reset', async () => {
    const { port, client } = await startSmall({ REQUEST_DEADLINE_MS: '2000' });
    await client.put('large', 'x'.repeat(1_000_000));
    for (let i = 0; i < 3; i++) {
      const raw = await RawSocket.open(port);
      raw.socket.once('data', () => raw.socket.pause());
      raw.write(`${getText('large').repeat(12)}CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n`);
      await raw.until(/^HTTP\/1\.1 200/);
      // Only then have all of them been asked for.
      expect((await client.stats()).totals.inFlight).toBeGreaterThan(0);
      raw.socket.resetAndDestroy();
    }
    await expect.poll(async () => (await client.get('/cache/large')).status, { timeout: 10_000 }).toBe(200);
    client.close();
  });

  test('values of four shards that are six times as long in JSON are put and read by many at once', async () => {
    const { child, client } = await startSmall({ SHARDS: '4' });
    const clients = 24;
    const requests = IS_LONG ? 12 : 5;
    const escaped = '\\u0001'.repeat(1_040_000);
    const statuses = new Set<number>();
    const lane = async (n: number): Promise<void> => {
      for (let i = 0; i < requests; i++) {
        const key = `key-${(n + i) % clients}`;
        const { status } =
          i % 4 === 0
            ? await client.send('PUT', '/cache', `{"key":"${key}","value":"${escaped}"}`)
            : await client.get(`/cache/${key}`, i % 2 === 0 ? {} : { 'accept-encoding': 'gzip' });
        statuses.add(status);
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, n) => lane(n)));
    for (const status of statuses) expect(status).toBeOneOf([200, 201, 404, 503]);
    for (const status of [200, 201]) expect(statuses).toContain(status);
    expect((await client.get('/health')).status).toBe(200);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES * 0.9);
    client.close();
  });

  test('a body that waits for room behind one that stands still gets it well within the deadline', async () => {
    const { port, client } = await startSmall({ REQUEST_DEADLINE_MS: '4000' });
    const raw = await RawSocket.open(port);
    raw.write(`${PUT_HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{`);
    await client.get('/health');
    const sentMs = performance.now();
    expect((await client.put('k', 'x'.repeat(60_000))).status).toBe(201);
    expect(performance.now() - sentMs).toBeLessThan(3500);
    await raw.until(/^HTTP\/1\.1 408/);
    raw.close();
    client.close();
  });
});

describe(`with ${LIMIT}, one server for all that follows`, { timeout: 120_000 }, () => {
  let child: ChildServer;
  let port: number;
  let client: HttpClient;

  beforeAll(async () => {
    child = new ChildServer({ env: ENV, isShared: true });
    port = await child.port();
    client = new HttpClient(port);
  });

  afterAll(async () => {
    client.close();
    await child.end();
  });

  test.each([
    ['an array of millions', `{"key":"a","value":[${'{},'.repeat(2_000_000)}{}]}`],
    ['brackets by the million', '['.repeat(6_000_000)],
    ['hundreds of thousands of properties', `{${'"a":1,'.repeat(800_000)}"b":1}`],
  ])('%s in a body are refused, not built', async (_what, body) => {
    expect((await client.put('kept', '1')).status).toBe(201);
    const headers = { 'content-type': 'application/json' };
    const answer = await client.call({ method: 'PUT', path: '/cache', headers, body });
    expect(answer.status).toBe(400);
    expect(answer.text.length).toBeLessThan(1000);
    expect((await client.get('/cache/kept')).status).toBe(200);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES);
  });

  test('a body in a million pieces of a byte takes no more room than its bytes', async () => {
    const raw = await RawSocket.open(port);
    raw.write(`${PUT_HEAD}transfer-encoding: chunked\r\n\r\n`);
    raw.write(`1\r\n{\r\n${'1\r\n \r\n'.repeat(1_000_000)}`);
    const rest = '"key":"pieces","value":"1"}';
    raw.write(`${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`);
    await expect.poll(() => raw.text, { timeout: 60_000 }).toMatch(/^HTTP\/1\.1 201/);
    expect(child.residentBytes().most).toBeLessThan(LIMIT_BYTES);
    raw.close();
  });

  test.each(['', 'content-length: 5\r\n'])(
    'CONNECT that is reset does not end the process: %j',
    async (header) => {
      for (let i = 0; i < 40; i++) {
        const raw = await RawSocket.open(port);
        raw.write(`CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n${header}\r\n`);
        await new Promise((resolve) => void setImmediate(resolve));
        raw.socket.resetAndDestroy();
      }
      expect((await client.get('/health')).status).toBe(200);
    },
  );

  test('bodies that stand still make room for those that wait', async () => {
    const raws = await Promise.all(Array.from({ length: 30 }, () => RawSocket.open(port)));
    for (const raw of raws) raw.write(`${PUT_HEAD}content-length: 1000000\r\n\r\n{"key"`);
    await client.get('/health');
    await expect
      .poll(async () => (await client.put('k', 'x'.repeat(500_000))).status, {
        timeout: 15_000,
        interval: 50,
      })
      .toBe(201);
    const told = (): number => raws.filter(({ text }) => text.startsWith('HTTP/1.1 408')).length;
    await expect.poll(told).toBeGreaterThan(0);
    const samples = await scrape(client);
    expect(samples.get('kvc_http_refusals_total{reason="slow_body"}')).toBeGreaterThan(0);
    for (const raw of raws) raw.close();
  });

  test('clients that do not take their large replies make room for those that wait', async () => {
    // Six characters each in JSON: more than the system holds for a client on its own.
    await client.put('large', '\u0001'.repeat(2 ** 20));
    await client.put('small', 'x'.repeat(10_000));
    const raws = await Promise.all(Array.from({ length: 20 }, () => RawSocket.open(port)));
    for (const raw of raws) {
      raw.socket.pause();
      raw.write('GET /cache/large HTTP/1.1\r\nhost: test\r\n\r\n');
    }
    await client.get('/health');
    const cutOffs = 'kvc_http_connections_cut_off_total{reason="slow_answer"}';
    // A read may come before the large replies have taken the room: then nobody has been cut off yet.
    const look = async (): Promise<[number, boolean]> => {
      const { status } = await client.get('/cache/small');
      return [status, (await scrape(client)).get(cutOffs)! > 0];
    };
    await expect.poll(look, { timeout: 25_000, interval: 50 }).toStrictEqual([200, true]);
    for (const raw of raws) raw.close();
  });

  test('clients that do not take their large values make room for those that do', async () => {
    const cutOffs = 'kvc_http_connections_cut_off_total{reason="slow_answer"}';
    const before = (await scrape(client)).get(cutOffs)!;
    const path = '/kv/large-value';
    const value = Buffer.alloc(16 * 2 ** 20, 'v');
    await client.call({ method: 'PUT', path, body: value });
    const raws = await Promise.all(Array.from({ length: 100 }, () => RawSocket.open(port)));
    for (const raw of raws) {
      raw.socket.pause();
      raw.write(requestText(path));
    }
    await client.get('/health');
    // Less than the time after which clients that take nothing are cut off, though nobody waits.
    const read = (): Promise<number> =>
      client.get(path).then(
        ({ bytes }) => bytes.length,
        () => 0,
      );
    await expect.poll(read, { timeout: 20_000, interval: 50 }).toBe(value.length);
    expect((await scrape(client)).get(cutOffs)).toBeGreaterThan(before);
    for (const raw of raws) raw.close();
  });
});
