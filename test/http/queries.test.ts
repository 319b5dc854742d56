import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import { type Call, cachePath, expectError } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';
import { printedSeed } from '../support/random.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  expect((await server.client.call({ method: 'DELETE', path: '/cache' })).status).toBe(200);
});

const JSON_TYPE = { 'content-type': 'application/json' };
const ENTRY = '{"key":"put","value":"w"}';

describe('a key in the query', () => {
  test('is read, asked for and deleted, alone', async () => {
    const { client } = server;
    for (let i = 0; i < 40; i++) await client.put(`user/${i}`, `v${i}`);
    const path = '/cache?key=user%2F1';
    expect((await client.get(path)).text).toBe('{"status":"OK","key":"user/1","value":"v1"}');
    const head = await client.call({ method: 'HEAD', path });
    expect([head.status, head.text, head.headers['content-length']]).toStrictEqual([200, '', '43']);
    expect((await client.call({ method: 'DELETE', path })).status).toBe(204);
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      expect((await client.call({ method, path })).status).toBe(404);
    }
    expect((await client.stats()).totals.entries).toBe(39);
  });

  test('is compressed as in the path', async () => {
    const { client } = server;
    await client.put('long', 'word '.repeat(1000));
    const accept = { 'accept-encoding': 'gzip' };
    const [inPath, inQuery] = [
      await client.get('/cache/long', accept),
      await client.get('/cache?key=long', accept),
    ];
    expect(inQuery.headers['content-encoding']).toBe('gzip');
    expect(inQuery.bytes.equals(inPath.bytes)).toBe(true);
  });

  test.each(['/cache?key=', '/get?key='])('%s has a slot for every key', async (prefix) => {
    const key = fc.oneof(
      fc.constantFrom(
        '.',
        '..',
        '/',
        '%',
        '%25',
        '+',
        ' ',
        '?',
        '#',
        '&',
        '=',
        ';',
        '&key=b',
        'a=b',
        '__proto__',
      ),
      fc.stringMatching(/^[\x20-\x7e]{1,30}$/),
      fc.string({ unit: fc.constantFrom(...'./%+ ?#&=;"\\'.split('')), minLength: 1, maxLength: 8 }),
    );
    const encode = fc.constantFrom(
      encodeURIComponent,
      // A space as a plus sign.
      (text: string) => new URLSearchParams({ k: text }).toString().slice(2),
      (text: string) => text.replaceAll(/./g, (one) => `%${one.charCodeAt(0).toString(16)}`),
    );
    await fc.assert(
      fc.asyncProperty(key, encode, async (one, encoded) => {
        const { client } = server;
        const path = prefix + encoded(one);
        expect((await client.put(one, 'v')).status).toBe(201);
        expect((await client.put(`other ${one}`, 'w')).status).toBe(201);
        expect((await client.get(path)).text).toBe(JSON.stringify({ status: 'OK', key: one, value: 'v' }));
        expect((await client.call({ method: 'HEAD', path })).status).toBe(200);
        const deleted = path.replace('/get', '/cache');
        expect((await client.call({ method: 'DELETE', path: deleted })).status).toBe(204);
        expect((await client.get(path)).status).toBe(404);
        expect((await client.get(cachePath(`other ${one}`))).text).toContain('"w"');
      }),
      { numRuns: IS_LONG ? 5000 : 150, seed: printedSeed('queries') },
    );
  });

  test('DELETE by query comes in its turn', async () => {
    const raw = await RawSocket.open(server.port);
    onTestFinished(() => raw.close());
    const put = `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${ENTRY.length}\r\n\r\n${ENTRY}`;
    const [get, remove] = ['GET', 'DELETE'].map(
      (method) => `${method} /cache?key=put HTTP/1.1\r\nhost: test\r\n\r\n`,
    );
    raw.write(put + get + remove + get + remove);
    await raw.until(/(404[^]*){2}\}$/);
    expect([...raw.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toStrictEqual([
      '201',
      '200',
      '204',
      '404',
      '404',
    ]);
  });
});

describe('DELETE /cache with a ? never empties the cache', () => {
  test.each<readonly [query: string, status: number, code: ErrorCode | undefined, message: RegExp]>([
    ['', 400, 'CACHE_ERR_KEY_INVALID', /^key .*missing/],
    ['&', 400, 'CACHE_ERR_KEY_INVALID', /^key .*missing/],
    ['?', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /"\?"/],
    ['key=', 400, 'CACHE_ERR_KEY_INVALID', /^key .*empty/],
    ['key', 400, 'CACHE_ERR_KEY_INVALID', /^key .*empty/],
    ['key=a&key=b', 400, 'CACHE_ERR_KEY_INVALID', /^key .*given more than once/],
    ['key=a&key=a', 400, 'CACHE_ERR_KEY_INVALID', /^key .*given more than once/],
    ['key=a&', 204, undefined, /^$/],
    ['Key=a', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /"Key"/],
    ['kye=a', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /^Unknown query parameter "kye"; known is: key\.$/],
    ['key=a&x=1', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /"x"/],
    ['key[]=a', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /"key\[\]"/],
    ['=', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /""/],
    ['__proto__=a', 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /"__proto__"/],
    ['key=none', 404, 'CACHE_ERR_KEY_NOT_FOUND', /^Key not found\.$/],
    ['key=%zz', 400, 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
    ['%', 400, 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
    ['key=%ff', 400, 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
    ['key=%C3%A9', 400, 'CACHE_ERR_KEY_INVALID', /^key /],
    [`key=${'k'.repeat(257)}`, 400, 'CACHE_ERR_KEY_INVALID', /^key .*longer/],
    ['key=a#b', 400, 'CACHE_ERR_REQUEST_INVALID', /%23|URL is not valid/],
  ])('%j', async (query, status, code, message) => {
    const { client } = server;
    for (const form of ['/cache', `http://127.0.0.1:${server.port}/cache`, '/%63ache']) {
      for (const key of ['a', 'b', 'c']) await client.put(key, 'v');
      const answer = await client.call({ method: 'DELETE', path: `${form}?${query}` });
      if (code === undefined) expect([answer.status, answer.text]).toStrictEqual([status, '']);
      else expectError(answer, status, code, message);
      const { entries } = (await client.stats()).totals;
      expect(entries).toBe(status === 204 ? 2 : 3);
    }
  });

  test('nor does it where the ? is before the path', async () => {
    const { client } = server;
    await client.put('a', 'v');
    await client.call({ method: 'DELETE', path: 'http://test?x/cache' });
    expect((await client.get('/cache/a')).status).toBe(200);
  });

  test('without one it does, in a whole URL too', async () => {
    const { client } = server;
    await client.put('a', 'v');
    const answer = await client.call({ method: 'DELETE', path: `http://127.0.0.1:${server.port}/cache` });
    expect([answer.status, answer.text]).toStrictEqual([200, '{"status":"OK","removed":1}']);
  });
});

const ROUTES: readonly Call[] = [
  { method: 'PUT', path: '/cache', headers: JSON_TYPE, body: ENTRY },
  { method: 'POST', path: '/put', headers: JSON_TYPE, body: ENTRY },
  { path: '/cache/a' },
  { method: 'HEAD', path: '/cache/a' },
  { method: 'DELETE', path: '/cache/a' },
];
const READS: readonly Call[] = [
  { path: '/cache' },
  { method: 'HEAD', path: '/cache' },
  { path: '/get' },
  { method: 'HEAD', path: '/get' },
];

function withQuery(call: Call, query: string): Call {
  return { ...call, path: `${call.path}?${query}` };
}

describe.each(ROUTES)('$method $path', (call) => {
  test.each([
    ['ttl=1', 'CACHE_ERR_UNKNOWN_PROPERTY', /"ttl"/],
    ['key=b', 'CACHE_ERR_UNKNOWN_PROPERTY', /"key"/],
    ['a=1&b=2', 'CACHE_ERR_UNKNOWN_PROPERTY', /^Unknown query parameter "a", "b"; this route has none\.$/],
    ['__proto__=b', 'CACHE_ERR_UNKNOWN_PROPERTY', /"__proto__"/],
    ['x=%zz', 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
    ['%ff', 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
  ] as const)('refuses ?%s, and does nothing', async (query, code, message) => {
    const { client } = server;
    await client.put('a', 'v');
    const answer = await client.call(withQuery(call, query));
    if (call.method === 'HEAD') expect([answer.status, answer.text]).toStrictEqual([400, '']);
    else expectError(answer, 400, code, message);
    expect((await client.get('/cache/a')).status).toBe(200);
    expect((await client.get('/cache/put')).status).toBe(404);
  });

  test.each(['', '&', '&&'])('has nothing against an empty query: ?%s', async (query) => {
    await server.client.put('a', 'v');
    expect((await server.client.call(withQuery(call, query))).status).toBeLessThan(300);
  });
});

describe.each(READS)('$method $path', (call) => {
  test.each([
    [undefined, 'CACHE_ERR_KEY_INVALID', /^key .*missing/],
    ['', 'CACHE_ERR_KEY_INVALID', /^key .*missing/],
    ['key=', 'CACHE_ERR_KEY_INVALID', /^key .*empty/],
    ['key=a&key=b', 'CACHE_ERR_KEY_INVALID', /^key .*given more than once/],
    ['key=a&ttl=1', 'CACHE_ERR_UNKNOWN_PROPERTY', /"ttl"/],
    ['key=%4', 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
    ['key=a&x=%', 'CACHE_ERR_REQUEST_INVALID', /percent-encoding/],
  ] as const)('refuses ?%s', async (query, code, message) => {
    await server.client.put('a', 'v');
    const answer = await server.client.call(query === undefined ? call : withQuery(call, query));
    if (call.method === 'HEAD') expect([answer.status, answer.text]).toStrictEqual([400, '']);
    else expectError(answer, 400, code, message);
  });
});

test.each(['/', '/health', '/ready', '/stats', '/openapi.json', '/docs', '/docs/swagger-ui.css'])(
  '%s ignores its query',
  async (path) => {
    for (const query of ['', 'x=1', 'x=%zz', '%ff', 'key=a&key=b', '__proto__=1']) {
      expect((await server.client.get(`${path}?${query}`)).status).toBe(200);
      expect((await server.client.call({ method: 'HEAD', path: `${path}?${query}` })).status).toBe(200);
    }
  },
);

test('a query whose names are long and many is refused in a short answer', async () => {
  const query = Array.from({ length: 100 }, (_, i) => `${'n'.repeat(100)}${i}=1`).join('&');
  const answer = await server.client.get(`/cache/a?${query}`);
  expectError(answer, 400, 'CACHE_ERR_UNKNOWN_PROPERTY', /and 92 more/);
  expect(answer.text.length).toBeLessThan(1024);
});
