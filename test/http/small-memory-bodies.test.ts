import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { HttpClient } from '../support/http-client.ts';
import { scrape } from '../support/metrics-text.ts';
import { RawSocket } from '../support/raw-socket.ts';

/** What a few clients can do to a process with little memory: no flood, so that other tests may run beside it. */
const LIMIT = '256mb';
const LIMIT_BYTES = 256 * 2 ** 20;
const ENV = { SHARDS: '1', MEMORY_LIMIT: LIMIT };
const PUT_HEAD = 'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n';

test('a body that waits for room behind one that stands still gets it well within the deadline', async () => {
  const { port } = await ChildServer.listening({ env: { ...ENV, REQUEST_DEADLINE_MS: '4000' } });
  const client = new HttpClient(port);
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

describe(`with ${LIMIT}, one server for all`, { timeout: 120_000 }, () => {
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
    await expect
      .poll(async () => (await client.get('/cache/small')).status, { timeout: 25_000, interval: 50 })
      .toBe(200);
    const cutOffs = 'kvc_http_connections_cut_off_total{reason="slow_answer"}';
    // On a busy machine the small one may be answered before the large ones have come.
    await expect.poll(async () => (await scrape(client)).get(cutOffs), { interval: 50 }).toBeGreaterThan(0);
    for (const raw of raws) raw.close();
  });
});
