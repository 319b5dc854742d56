import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, cachePath, shortPath } from '../support/http-client.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { Random } from '../support/random.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const THRESHOLD = 1024;
const GZIP = { 'accept-encoding': 'gzip' };
/** What a body has around key and value. */
const FRAME = '{"status":"OK","key":"k","value":""}'.length;

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server[Symbol.asyncDispose]());

afterEach(async () => {
  await server.client.call({ method: 'DELETE', path: '/cache' });
});

function bodyOf(key: string, value: string): string {
  return JSON.stringify({ status: 'OK', key, value });
}

function expectGzip(answer: Answer, body: string): void {
  expect(answer.status).toBe(200);
  expect(answer.headers['content-encoding']).toBe('gzip');
  expect(answer.headers.vary).toMatch(/accept-encoding/i);
  expect(answer.headers['content-length']).toBe(String(answer.bytes.length));
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(answer.bytes.length).toBeLessThan(body.length);
  expect(gunzipSync(answer.bytes).toString('latin1') === body).toBe(true);
}

function expectPlain(answer: Answer, body: string): void {
  expect(answer.status).toBe(200);
  expect(answer.headers['content-encoding']).toBeUndefined();
  expect(answer.text === body).toBe(true);
}

/** Text that gzip makes smaller, but takes its time over. */
function words(length: number, seed: number): string {
  const random = new Random(seed);
  return Array.from({ length: Math.ceil(length / 8) }, () => `word${random.whole(1000, 9999)}`)
    .join('')
    .slice(0, length);
}

describe('which answers are compressed', () => {
  test('one byte over the threshold is, the threshold itself is not', async () => {
    const { client } = server;
    for (const pathOf of [cachePath, shortPath]) {
      await client.put('k', 'v'.repeat(THRESHOLD - FRAME));
      const at = await client.get(pathOf('k'), GZIP);
      expect(at.bytes).toHaveLength(THRESHOLD);
      expectPlain(at, bodyOf('k', 'v'.repeat(THRESHOLD - FRAME)));
      await client.put('k', 'v'.repeat(THRESHOLD - FRAME + 1));
      expectGzip(await client.get(pathOf('k'), GZIP), bodyOf('k', 'v'.repeat(THRESHOLD - FRAME + 1)));
    }
  });

  // The entries' shards compress them; all else is compressed on its way out.
  const PATHS = ['/cache/k', '/get?key=k', '/stats', '/openapi.json'];

  test.each([
    'gzip',
    'GZIP',
    'GZip;Q=0.5',
    'gzip, deflate, br',
    'deflate;q=0.5, gzip;q=0.8',
    'x, gzip',
    ',gzip,,',
    'gzip;q=1.0',
    'gzip;q=0.001',
    'gzip;q=1, *;q=0',
    'gzip ; q=0.5 , br',
    'gzip\t;\tq=1',
    'deflate;q=0.2, gzip;q=0.8, identity;q=0.5',
    'identity;q=0, gzip;q=0.1',
    'identity;q=0, *',
    '*',
    '*;q=0.1',
    'x-gzip',
    'X-Gzip;q=0.5',
  ])('accept-encoding: %s gets gzip', async (header) => {
    const value = words(3000, 1);
    await server.client.put('k', value);
    expectGzip(await server.client.get('/cache/k', { 'accept-encoding': header }), bodyOf('k', value));
    for (const path of PATHS) {
      const { headers } = await server.client.get(path, { 'accept-encoding': header });
      expect([path, headers['content-encoding']]).toStrictEqual([path, 'gzip']);
    }
  });

  test.each([
    'gzip;q=0',
    'GZIP;Q=0.000',
    'identity',
    'deflate, br',
    'gzip;q=0, identity',
    'gzip;q=0, *',
    '*;q=0.5, gzip;q=0',
    'x-gzip;q=0, *',
    '*;q=0, identity',
    '*;q=0',
    'br, *;q=0',
    'identity;q=0',
    'identity, gzip;q=0.5',
    'gzip;q=0.2, *;q=0.8',
    'gzipped',
    'x-gzipped',
    '',
  ])('accept-encoding: %s gets plain bytes', async (header) => {
    const value = words(3000, 2);
    await server.client.put('k', value);
    expectPlain(await server.client.get('/cache/k', { 'accept-encoding': header }), bodyOf('k', value));
    for (const path of PATHS) {
      const { status, headers } = await server.client.get(path, { 'accept-encoding': header });
      expect([path, status, headers['content-encoding']]).toStrictEqual([path, 200, undefined]);
      expect(headers.vary).toMatch(/accept-encoding/i);
    }
  });

  test.each([
    ['deflate', 'gzip', 'gzip'],
    ['gzip;q=0', '*', undefined],
    ['*', 'gzip;q=0', undefined],
    ['identity;q=0', '*', 'gzip'],
  ])('accept-encoding in two lines, %s and %s', async (first, second, coding) => {
    await server.client.put('k', words(3000, 3));
    const raw = await RawSocket.open(server.port);
    const lines = `accept-encoding: ${first}\r\nAccept-Encoding: ${second}\r\n`;
    raw.write(`GET /cache/k HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${lines}\r\n`);
    const [head] = (await raw.ended()).split('\r\n\r\n');
    expect(/^content-encoding: (.*)$/im.exec(head)?.[1]).toBe(coding);
  });

  test('however many different headers clients send', async () => {
    const value = words(3000, 4);
    await server.client.put('k', value);
    for (let i = 0; i < 600; i++) {
      const long = 'x'.repeat(i % 3 === 0 ? 300 : 1);
      const one = await server.client.get('/cache/k', { 'accept-encoding': `${long}${i}, gzip` });
      expectGzip(one, bodyOf('k', value));
      if (i % 10 > 0) continue;
      const other = await server.client.get('/cache/k', { 'accept-encoding': `${long}${i}, br` });
      expectPlain(other, bodyOf('k', value));
    }
    // One that nobody sends is not worked out.
    const endless = { 'accept-encoding': `${'x,'.repeat(1000)}gzip` };
    expectPlain(await server.client.get('/cache/k', endless), bodyOf('k', value));
  });

  test('no header gets plain bytes', async () => {
    const value = words(3000, 3);
    await server.client.put('k', value);
    expectPlain(await server.client.get('/cache/k'), bodyOf('k', value));
  });

  test('HEAD has the headers of the compressed answer', async () => {
    await server.client.put('k', words(3000, 4));
    const got = await server.client.get('/cache/k', GZIP);
    const head = await server.client.call({ method: 'HEAD', path: '/cache/k', headers: GZIP });
    expect(head.bytes).toHaveLength(0);
    expect({ ...head.headers, date: '' }).toStrictEqual({ ...got.headers, date: '' });
  });

  test('a value that gzip does not make smaller stays plain, every time', async () => {
    await using eager = await startTestServer({ SHARDS: '1', GZIP_THRESHOLD_BYTES: '10' });
    const value = 'Too short to repeat itself.';
    await eager.client.put('k', value);
    for (let i = 0; i < 3; i++) expectPlain(await eager.client.get('/cache/k', GZIP), bodyOf('k', value));
    // Replaced by one that it does, the mark is gone.
    await eager.client.put('k', words(500, 5));
    expectGzip(await eager.client.get('/cache/k', GZIP), bodyOf('k', words(500, 5)));
  });

  test('so are statistics, the OpenAPI document and what the page to try it loads', async () => {
    for (const path of ['/stats', '/openapi.json', '/docs/swagger-ui.css']) {
      const answer = await server.client.get(path, GZIP);
      expect([path, answer.headers['content-encoding']]).toStrictEqual([path, 'gzip']);
      expect(answer.headers.vary).toMatch(/accept-encoding/i);
      expect(gunzipSync(answer.bytes).length).toBeGreaterThan(THRESHOLD);
      expect((await server.client.get(path)).headers['content-encoding']).toBeUndefined();
    }
  });
});

describe('the kept gzip form', () => {
  test('serves the second GET, with the very same bytes, while plain readers get plain ones', async () => {
    const { client } = server;
    const value = words(20_000, 6);
    await client.put('k', value);
    const before = (await client.stats()).totals.liveBytes;
    const first = await client.get('/cache/k', GZIP);
    expectGzip(first, bodyOf('k', value));
    // It is kept beside the value, and charged to the entry.
    const kept = (await client.stats()).totals.liveBytes - before;
    expect(kept).toBeGreaterThanOrEqual(first.bytes.length);
    const second = await client.get('/cache/k', GZIP);
    expect(second.bytes.equals(first.bytes)).toBe(true);
    expect((await client.stats()).totals.liveBytes - before).toBe(kept);
    expectPlain(await client.get('/cache/k'), bodyOf('k', value));
  });

  test('goes with the value it was made of', async () => {
    const { client } = server;
    for (const [length, seed] of [
      [5000, 7],
      [9000, 8],
      [200_000, 9],
      [3000, 10],
    ]) {
      const value = words(length, seed);
      await client.put('k', value);
      expectGzip(await client.get('/cache/k', GZIP), bodyOf('k', value));
      expectGzip(await client.get('/cache/k', GZIP), bodyOf('k', value));
    }
    await client.call({ method: 'DELETE', path: '/cache/k' });
    expect((await client.get('/cache/k', GZIP)).status).toBe(404);
    expect((await client.stats()).totals.liveBytes).toBe(0);
  });

  test('does not outlive a ttl', async () => {
    const { client } = server;
    const value = words(5000, 11);
    await client.put('k', value, 0.3);
    expectGzip(await client.get('/cache/k', GZIP), bodyOf('k', value));
    await expect.poll(async () => (await client.get('/cache/k', GZIP)).status).toBe(404);
  });
});

describe('values over 64 KiB', () => {
  test.each([2 ** 16 - FRAME, 2 ** 16, 300_000, 2 ** 20])('of %i bytes are compressed', async (length) => {
    const value = words(length, length);
    await server.client.put('k', value);
    expectGzip(await server.client.get('/cache/k', GZIP), bodyOf('k', value));
    expectGzip(await server.client.get('/cache/k', GZIP), bodyOf('k', value));
    expectPlain(await server.client.get('/cache/k'), bodyOf('k', value));
  });

  test('asked for many times at once', async () => {
    const value = words(500_000, 12);
    await server.client.put('k', value);
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.client.get('/cache/k', GZIP)));
    for (const answer of answers) expectGzip(answer, bodyOf('k', value));
  });

  test('replaced or deleted while being compressed, a reader never sees an older value than it may', async () => {
    const { client } = server;
    for (let round = 0; round < 20; round++) {
      const older = words(400_000, 100 + round);
      const newer = words(400_000, 200 + round);
      await client.put('k', older);
      const reading = client.get('/cache/k', GZIP);
      const [during, replaced] = await Promise.all([reading, client.put('k', newer)]);
      expect(replaced.status).toBe(201);
      const text = gunzipSync(during.bytes).toString('latin1');
      expect(text === bodyOf('k', older) || text === bodyOf('k', newer)).toBe(true);
      expectGzip(await client.get('/cache/k', GZIP), bodyOf('k', newer));
      const last = client.get('/cache/k', GZIP);
      const [, deleted] = await Promise.all([last, client.call({ method: 'DELETE', path: '/cache/k' })]);
      expect(deleted.status).toBe(204);
      expect((await client.get('/cache/k', GZIP)).status).toBe(404);
    }
  });

  test('a shard goes on answering others while it compresses', async () => {
    await using single = await startTestServer({ SHARDS: '1' });
    const { client } = single;
    await client.put('large', words(2 ** 20, 13));
    await client.put('small', 'v');
    let isCompressed = false;
    const large = client.get('/cache/large', GZIP).then((answer) => {
      isCompressed = true;
      return answer;
    });
    await client.get('/cache/small');
    expect(isCompressed).toBe(false);
    expect((await large).headers['content-encoding']).toBe('gzip');
  });
});

describe('GZIP_THRESHOLD_BYTES', () => {
  test('0 turns compression off', async () => {
    await using plain = await startTestServer({ SHARDS: '1', GZIP_THRESHOLD_BYTES: '0' });
    for (const length of [3000, 200_000]) {
      const value = words(length, 14);
      await plain.client.put('k', value);
      const answer = await plain.client.get('/cache/k', GZIP);
      expectPlain(answer, bodyOf('k', value));
      expect(answer.headers.vary).toBeUndefined();
    }
    for (const path of ['/stats', '/openapi.json', '/docs']) {
      expect((await plain.client.get(path, GZIP)).headers['content-encoding']).toBeUndefined();
    }
  });

  test('another threshold holds instead', async () => {
    await using other = await startTestServer({ SHARDS: '1', GZIP_THRESHOLD_BYTES: '4kb' });
    await other.client.put('k', 'v'.repeat(4096 - FRAME));
    expectPlain(await other.client.get('/cache/k', GZIP), bodyOf('k', 'v'.repeat(4096 - FRAME)));
    await other.client.put('k', 'v'.repeat(4096 - FRAME + 1));
    expectGzip(await other.client.get('/cache/k', GZIP), bodyOf('k', 'v'.repeat(4096 - FRAME + 1)));
  });
});
