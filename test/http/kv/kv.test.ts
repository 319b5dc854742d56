import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, expectError } from '../../support/http-client.ts';
import { RawSocket } from '../../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../../support/server.ts';

const MIB = 2 ** 20;
const TEXT = 'some text that is long enough to be compressed. '.repeat(100);

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2', MAX_RAW_BYTES: '4mb' });
});

afterAll(() => server[Symbol.asyncDispose]());

type Headers = Readonly<Record<string, string>>;

function put(path: string, body: string | Buffer = 'v', headers: Headers = {}): Promise<Answer> {
  return server.client.call({ method: 'PUT', path, headers, body });
}

function headText(path: string, bytes: number, more = ''): string {
  return `PUT ${path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: ${bytes}\r\n${more}\r\n`;
}

describe('keys', () => {
  test.each([
    ['/kv/a', 'a'],
    ['/kv/a/b/c', 'a/b/c'],
    ['/kv//ac//x/', '/ac//x/'],
    ['/kv/a%2Fb', 'a/b'],
    ['/kv/a%252Fb', 'a%2Fb'],
    ['/kv/%20%7E%3F%23%25', ' ~?#%'],
    ['/kv/../x/.', '../x/.'],
    ['/kv/a+b;c=d,e:f@g', 'a+b;c=d,e:f@g'],
    ['/kv/q?other=1&ttl=5', 'q'],
    ['http://elsewhere/kv/full', 'full'],
  ])('%s is %j', async (path, key) => {
    const value = `value of ${key}`;
    expect((await put(path, value)).status).toBeLessThan(300);
    const json = await server.client.get(`/cache?key=${encodeURIComponent(key)}`);
    expect(JSON.parse(json.text)).toStrictEqual({ status: 'OK', key, value });
    expect((await server.client.get(path)).text).toBe(value);
    expect((await server.client.call({ method: 'DELETE', path })).status).toBe(204);
    expect((await server.client.get(path)).status).toBe(404);
  });

  test.each(['/kv/', '/kv/%00', '/kv/%C3%A9', `/kv/${'k'.repeat(257)}`])('%s is none', async (path) => {
    for (const method of ['PUT', 'GET', 'DELETE']) {
      expectError(await server.client.call({ method, path }), 400, 'CACHE_ERR_KEY_INVALID', /^key must/);
    }
  });

  test('what is not percent-encoding is an error', async () => {
    expectError(await put('/kv/%zz'), 400, 'CACHE_ERR_REQUEST_INVALID');
    expectError(await server.client.get('/kv'), 404, 'CACHE_ERR_ROUTE_NOT_FOUND');
    const { status, headers } = await server.client.call({ method: 'POST', path: '/kv/a' });
    expect([status, headers['allow']]).toStrictEqual([405, 'DELETE, GET, HEAD, PUT']);
  });
});

describe('lifetimes', () => {
  test.each([
    ['?ttl=60', {}, 60],
    ['', { 'x-ttl': '60' }, 60],
    ['', { 'cache-control': 'max-age=60' }, 60],
    ['', { 'cache-control': 'public, Max-Age="60", s-maxage=5' }, 60],
    ['?ttl=60', { 'x-ttl': '70', 'cache-control': 'max-age=80' }, 60],
    ['', { 'x-ttl': '70', 'cache-control': 'max-age=80' }, 70],
    ['?ttl=0.5', {}, 0.5],
  ] as const)('%s %j', async (query, headers, seconds) => {
    await put(`/kv/ttl${query}`, 'v', headers);
    const answer = await server.client.get('/kv/ttl');
    const left = Number(answer.headers['x-ttl']);
    expect(left).toBeLessThanOrEqual(seconds);
    expect(left).toBeGreaterThan(seconds - 0.4);
    expect(answer.headers['cache-control']).toBe(`max-age=${Math.floor(left)}`);
    expect(answer.headers['age']).toBeUndefined();
  });

  test.each(['', 's-maxage=60', 'no-cache', 'xmax-age=60'])('none: Cache-Control %j', async (field) => {
    await put('/kv/ttl', 'v', { 'cache-control': field });
    const { headers } = await server.client.get('/kv/ttl');
    expect([headers['cache-control'], headers['x-ttl']]).toStrictEqual(['no-cache', undefined]);
  });

  test.each([
    ['?ttl=', {}],
    ['?ttl=0', {}],
    ['?ttl=-1', {}],
    ['?ttl=1e9', {}],
    ['?ttl=5&ttl=6', {}],
    ['?ttl=315576001', {}],
    ['', { 'x-ttl': 'soon' }],
    ['', { 'x-ttl': '' }],
    ['', { 'cache-control': 'max-age=0' }],
    ['', { 'cache-control': 'max-age=x' }],
  ])('wrong: %s %j', async (query, headers) => {
    expectError(await put(`/kv/none${query}`, 'v', headers), 400, 'CACHE_ERR_TTL_INVALID');
    expect((await server.client.get('/kv/none')).status).toBe(404);
  });

  test('an entry ends, and a PUT without a lifetime takes an earlier one away', async () => {
    await put('/kv/soon?ttl=0.05');
    await expect.poll(async () => (await server.client.get('/kv/soon')).status).toBe(404);
    await put('/kv/kept?ttl=60');
    await put('/kv/kept');
    expect((await server.client.get('/kv/kept')).headers['x-ttl']).toBeUndefined();
  });
});

describe('types and encodings', () => {
  test.each([
    [{}, 'application/octet-stream', undefined],
    [{ 'content-type': 'application/json' }, 'application/json', undefined],
    [{ 'content-type': 'no type at all' }, 'no type at all', undefined],
    [{ 'content-type': 'image/png; x="\u00e9"', 'content-encoding': 'br' }, 'image/png; x="\u00e9"', 'br'],
  ])('%j are kept, and the body is not looked at', async (headers, type, encoding) => {
    for (const size of [1, MIB + 1]) {
      const body = Buffer.alloc(size, '{');
      expect((await put('/kv/typed', body, headers)).status).toBeLessThan(300);
      const answer = await server.client.get('/kv/typed', { 'accept-encoding': 'gzip' });
      expect(answer.headers['content-type']).toBe(type);
      if (type !== 'application/json' || size > MIB) {
        expect(answer.headers['content-encoding']).toBe(encoding);
        expect(answer.bytes.equals(body)).toBe(true);
      }
    }
  });

  test('text is compressed for who accepts it, and nothing else', async () => {
    const accept = { 'accept-encoding': 'gzip' };
    for (const [headers, isZipped] of [
      [{ 'content-type': 'text/plain' }, true],
      [{ 'content-type': 'application/ld+json' }, true],
      [{ 'content-type': 'application/octet-stream' }, false],
      [{ 'content-type': 'text/plain', 'content-encoding': 'x' }, false],
    ] as const) {
      await put('/kv/text', TEXT, headers);
      const zipped = await server.client.get('/kv/text', accept);
      expect(zipped.headers['content-encoding'] === 'gzip').toBe(isZipped);
      expect(zipped.headers['vary']).toBe(isZipped ? 'accept-encoding' : undefined);
      const plain = await server.client.get('/kv/text');
      expect([plain.text, plain.headers['vary']]).toStrictEqual([TEXT, zipped.headers['vary']]);
      const head = await server.client.call({ method: 'HEAD', path: '/kv/text', headers: accept });
      expect(head.headers['vary']).toBe(zipped.headers['vary']);
      // A HEAD compresses nothing: so it does not know that length.
      expect(head.headers['content-length']).toBe(isZipped ? undefined : String(TEXT.length));
      expect(head.headers['transfer-encoding']).toBeUndefined();
    }
  });

  test.each([
    ['text/html', true],
    ['TEXT/HTML; charset=utf-8', true],
    ['image/svg+xml', true],
    ['text/plainly', true],
    ['no type', true],
    ['text/plain; charset=utf-8', false],
    ['application/octet-stream', false],
    ['image/png', false],
  ])('%s is in a sandbox if a browser opens it: %s', async (type, isSandboxed) => {
    await put('/kv/page', '<script>act()</script>', { 'content-type': type });
    const { headers } = await server.client.get('/kv/page');
    expect(headers['content-security-policy']).toBe(isSandboxed ? 'sandbox' : undefined);
    expect(headers['x-content-type-options']).toBe(isSandboxed ? 'nosniff' : undefined);
  });

  test.each(['content-type', 'content-encoding'])('a %s of 256 characters is too long', async (name) => {
    expect((await put('/kv/long', 'v', { [name]: 'x'.repeat(255) })).status).toBe(201);
    expectError(await put('/kv/long', 'v', { [name]: 'x'.repeat(256) }), 400, 'CACHE_ERR_REQUEST_INVALID');
    await server.client.call({ method: 'DELETE', path: '/kv/long' });
  });
});

describe('beside JSON', () => {
  test('what was put as JSON is text', async () => {
    await server.client.put('json', '"quoted"\n');
    const answer = await server.client.get('/kv/json');
    expect([answer.headers['content-type'], answer.text]).toStrictEqual(['text/plain', '"quoted"\n']);
  });

  test('bytes are not JSON: 406 says where to read them', async () => {
    await put('/kv/bytes', Buffer.from([0x80]));
    for (const path of ['/cache/bytes', '/cache?key=bytes', '/get?key=bytes']) {
      expectError(await server.client.get(path), 406, 'CACHE_ERR_VALUE_NOT_TEXT', /\/kv\//);
    }
    await server.client.put('bytes', 'text');
    expect((await server.client.get('/kv/bytes')).text).toBe('text');
  });
});

describe('what is too large', () => {
  test('is refused before the body is read where its length is known, and as soon as it shows where not', async () => {
    const tooLong = 4 * MIB + 1;
    const body = Buffer.alloc(tooLong);
    expect((await put('/kv/size', body.subarray(1))).status).toBe(201);
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      expectError(await put('/kv/size', body, headers), 413, 'CACHE_ERR_VALUE_TOO_LARGE', /at most 4 MiB/);
    }
    expect((await server.client.get('/kv/size')).bytes.length).toBe(4 * MIB);
  });

  test('is refused before a client sends it that waits for 100-continue', async () => {
    const raw = await RawSocket.open(server.port);
    raw.write(headText('/kv/size', 4 * MIB + 1));
    expect(await raw.ended()).toMatch(/^HTTP\/1.1 413 [^]*connection: close[^]*4 MiB/i);
  });

  test('and what is not is asked for', async () => {
    for (const [path, bytes] of [
      ['/kv/expected/small', 5],
      ['/kv/expected/large', 2 * MIB],
    ] as const) {
      const raw = await RawSocket.open(server.port);
      raw.write(headText(path, bytes));
      await raw.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
      raw.write('x'.repeat(bytes));
      await raw.until(/HTTP\/1.1 201 /);
      raw.close();
    }
    const raw = await RawSocket.open(server.port);
    const json = JSON.stringify({ key: 'expected', value: 'v' });
    raw.write(headText('/cache', json.length, 'content-type: application/json\r\n'));
    await raw.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
    raw.write(json);
    await raw.until(/HTTP\/1.1 201 /);
    raw.close();
  });
});

test('there is time to send a large value', () => {
  expect(server.app.server.requestTimeout).toBe(34_000);
});

test('a part of a value is no value', async () => {
  const headers = { 'content-range': 'bytes 0-0/2' };
  expectError(await put('/kv/part', 'v', headers), 400, 'CACHE_ERR_REQUEST_INVALID', /Content-Range/);
  expect((await server.client.get('/kv/part')).status).toBe(404);
});

test('requests take effect in their order, behind large bodies too', async () => {
  const raw = await RawSocket.open(server.port);
  const sent = ['x'.repeat(10), 'y'.repeat(2 * MIB), 'z'].map(
    (body) =>
      `PUT /kv/order HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}` +
      'HEAD /kv/order HTTP/1.1\r\nhost: a\r\n\r\n',
  );
  raw.write(sent.join(''));
  await raw.until(/(?:HTTP[^]*){6}/);
  await expect
    .poll(() => [...raw.text.matchAll(/content-length: (\d+)/g)].map(([, bytes]) => bytes))
    .toStrictEqual(['0', '10', `${2 * MIB}`, '1']);
  raw.close();
});
