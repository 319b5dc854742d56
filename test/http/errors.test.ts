import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import { cachePath, expectError } from '../support/http-client.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const MIB = 2 ** 20;
const KEPT = ['/cache', '/health', '__proto__', 'k'.repeat(256)];

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  for (const key of KEPT) await server.client.put(key, 'kept');
});

afterAll(() => server[Symbol.asyncDispose]());

afterEach(async () => {
  for (const key of KEPT) expect((await server.client.get(cachePath(key))).text).toContain('"kept"');
  expect((await server.client.stats()).totals.entries).toBe(KEPT.length);
});

type Row = readonly [what: string, body: unknown, status: number, code: ErrorCode, message: RegExp];

const KEY_RULE = /^key .*1 to 256 .*ASCII/;
const VALUE_RULE = /^value .*ASCII.*1 MiB/;
const OTHER_CHARACTERS = /^(?:key|value) .*ASCII.*, and has other characters\.$/;
const NO_NUMBER = /^ttl .*positive.*ten years.*, and is no number\.$/;
const NOT_POSITIVE = /^ttl .*positive.*ten years.*, and is not positive\.$/;
const TOO_LARGE = /^ttl .*positive.*ten years.*, and is too large\.$/;

const BODIES: readonly Row[] = [
  ['an empty key', { key: '', value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE],
  ['a key of 257', { key: 'k'.repeat(257), value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE],
  ['a key with é', { key: 'é', value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', OTHER_CHARACTERS],
  ['a key with an emoji', { key: 'a😀', value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', OTHER_CHARACTERS],
  ['a key with a line feed', { key: 'a\nb', value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', OTHER_CHARACTERS],
  [
    'a key that ends in a line feed',
    { key: 'a\n', value: 'v' },
    400,
    'CACHE_ERR_KEY_INVALID',
    OTHER_CHARACTERS,
  ],
  ['a key with NUL', { key: '\0', value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', OTHER_CHARACTERS],
  ['a key with DEL', { key: '\x7f', value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', OTHER_CHARACTERS],
  ['a number as key', { key: 5, value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE],
  ['null as key', { key: null, value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE],
  ['no key', { value: 'v' }, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE],
  ['a number as value', { key: 'a', value: 5 }, 400, 'CACHE_ERR_VALUE_INVALID', VALUE_RULE],
  ['a boolean as value', { key: 'a', value: true }, 400, 'CACHE_ERR_VALUE_INVALID', VALUE_RULE],
  ['null as value', { key: 'a', value: null }, 400, 'CACHE_ERR_VALUE_INVALID', VALUE_RULE],
  ['an object as value', { key: 'a', value: {} }, 400, 'CACHE_ERR_VALUE_INVALID', VALUE_RULE],
  ['no value', { key: 'a' }, 400, 'CACHE_ERR_VALUE_INVALID', VALUE_RULE],
  ['a value with é', { key: 'a', value: 'é' }, 400, 'CACHE_ERR_VALUE_INVALID', OTHER_CHARACTERS],
  ['a value with 0x80', { key: 'a', value: '\x80' }, 400, 'CACHE_ERR_VALUE_INVALID', OTHER_CHARACTERS],
  [
    'a value with a lone surrogate',
    '{"key":"a","value":"\\ud800"}',
    400,
    'CACHE_ERR_VALUE_INVALID',
    OTHER_CHARACTERS,
  ],
  [
    'a value of 1 MiB + 1',
    { key: 'a', value: 'v'.repeat(MIB + 1) },
    413,
    'CACHE_ERR_VALUE_TOO_LARGE',
    VALUE_RULE,
  ],
  ['a ttl of 0', { key: 'a', value: 'v', ttl: 0 }, 400, 'CACHE_ERR_TTL_INVALID', NOT_POSITIVE],
  ['a negative ttl', { key: 'a', value: 'v', ttl: -1 }, 400, 'CACHE_ERR_TTL_INVALID', NOT_POSITIVE],
  ['a string as ttl', { key: 'a', value: 'v', ttl: '5' }, 400, 'CACHE_ERR_TTL_INVALID', NO_NUMBER],
  ['null as ttl', { key: 'a', value: 'v', ttl: null }, 400, 'CACHE_ERR_TTL_INVALID', NO_NUMBER],
  ['a boolean as ttl', { key: 'a', value: 'v', ttl: true }, 400, 'CACHE_ERR_TTL_INVALID', NO_NUMBER],
  [
    'a ttl below all numbers',
    '{"key":"a","value":"v","ttl":-1e999}',
    400,
    'CACHE_ERR_TTL_INVALID',
    NOT_POSITIVE,
  ],
  ['an infinite ttl', '{"key":"a","value":"v","ttl":1e999}', 400, 'CACHE_ERR_TTL_INVALID', TOO_LARGE],
  [
    'a ttl over ten years',
    { key: 'a', value: 'v', ttl: 315_576_001 },
    400,
    'CACHE_ERR_TTL_INVALID',
    TOO_LARGE,
  ],
  [
    'an unknown property',
    { key: 'a', value: 'v', tll: 5 },
    400,
    'CACHE_ERR_UNKNOWN_PROPERTY',
    /^Unknown property "tll"; known are: key, value, ttl\.$/,
  ],
  [
    'two unknown properties',
    { key: 'a', value: 'v', one: 1, two: 2 },
    400,
    'CACHE_ERR_UNKNOWN_PROPERTY',
    /"one".*"two"/,
  ],
  [
    '__proto__ as property',
    '{"key":"a","value":"v","__proto__":{"ttl":1}}',
    400,
    'CACHE_ERR_UNKNOWN_PROPERTY',
    /"__proto__"/,
  ],
  [
    '__proto__ in the place of key and value',
    '{"__proto__":{"key":"a","value":"v"}}',
    400,
    'CACHE_ERR_KEY_INVALID',
    KEY_RULE,
  ],
  [
    'constructor as property',
    '{"key":"a","value":"v","constructor":{"prototype":{"ttl":1}}}',
    400,
    'CACHE_ERR_UNKNOWN_PROPERTY',
    /"constructor"/,
  ],
  ['broken JSON', '{"key":"a","value":', 400, 'CACHE_ERR_BODY_INVALID', /JSON/],
  ['JSON with a comma too many', '{"key":"a","value":"v",}', 400, 'CACHE_ERR_BODY_INVALID', /JSON/],
  ['a raw control character in JSON', '{"key":"a","value":"\n"}', 400, 'CACHE_ERR_BODY_INVALID', /JSON/],
  ['an empty body', '', 400, 'CACHE_ERR_BODY_INVALID', /body/],
  ['an array', '[]', 400, 'CACHE_ERR_BODY_INVALID', /object/],
  ['an array with an entry', '[{"key":"a","value":"v"}]', 400, 'CACHE_ERR_BODY_INVALID', /object/],
  ['a string', '"a"', 400, 'CACHE_ERR_BODY_INVALID', /object/],
  ['null', 'null', 400, 'CACHE_ERR_BODY_INVALID', /object/],
  ['a number', '5', 400, 'CACHE_ERR_BODY_INVALID', /object/],
];

describe.each([
  ['PUT', '/cache'],
  ['POST', '/put'],
])('%s %s', (method, path) => {
  test.each(BODIES)('%s', async (_what, body, status, code, message) => {
    expectError(await server.client.send(method, path, body), status, code, message);
  });

  test('a key that is not UTF-8', async () => {
    const body = Buffer.from('{"key":"\xff","value":"v"}', 'latin1');
    const headers = { 'content-type': 'application/json' };
    const answer = await server.client.call({ method, path, headers, body });
    expectError(answer, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE);
  });

  test('a body larger than any entry could make it', async () => {
    const body = `{"key":"a","value":"${'\\u0000'.repeat(MIB + 2000)}"}`;
    expectError(await server.client.send(method, path, body), 413, 'CACHE_ERR_BODY_TOO_LARGE', /body/);
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/xml',
    'application/jsonp',
    'json',
    '/',
  ])('content type %j', async (type) => {
    const body = '{"key":"a","value":"v"}';
    const answer = await server.client.call({ method, path, headers: { 'content-type': type }, body });
    expectError(answer, 415, 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED', /application\/json/);
  });

  test('no content type', async () => {
    const answer = await server.client.call({ method, path, body: '{"key":"a","value":"v"}' });
    expectError(answer, 415, 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED', /application\/json/);
  });

  test('neither body nor content type', async () => {
    const { status, text } = await server.client.call({ method, path });
    expect([400, 415]).toContain(status);
    expect(text).toMatch(/"CACHE_ERR_(BODY_INVALID|MEDIA_TYPE_UNSUPPORTED)"/);
  });
});

const BAD_KEYS: readonly (readonly [what: string, encoded: string])[] = [
  ['an empty key', ''],
  ['a key of 257', 'k'.repeat(257)],
  ['a key of 257, percent-encoded', '%6b'.repeat(257)],
  ['a key of 4,000', 'k'.repeat(4000)],
  ['%00', '%00'],
  ['%0A', 'a%0A'],
  ['%7F', '%7f'],
  ['é', '%C3%A9'],
  ['an emoji', '%F0%9F%98%80'],
];

describe.each([
  ['GET', '/cache/'],
  ['DELETE', '/cache/'],
  ['GET', '/get?key='],
  ['GET', '/cache?key='],
  ['DELETE', '/cache?key='],
])('%s %s…', (method, prefix) => {
  test.each(BAD_KEYS)('%s', async (_what, encoded) => {
    const answer = await server.client.call({ method, path: prefix + encoded });
    expectError(answer, 400, 'CACHE_ERR_KEY_INVALID', KEY_RULE);
  });
});

describe('malformed percent-encoding', () => {
  test.each(['%', '%4', '%zz', 'a%', '%E0%A4%A', '%ff', '%c0%80'])('in a path: %s', async (encoded) => {
    for (const method of ['GET', 'DELETE']) {
      const answer = await server.client.call({ method, path: `/cache/${encoded}` });
      expectError(answer, 400, 'CACHE_ERR_REQUEST_INVALID', /percent-encod/);
    }
  });
});

describe('unknown paths', () => {
  test.each([
    '/nothing',
    '/cache/a/b',
    '/CACHE/a',
    '/put/a',
    '/get/a',
    '//cache',
    '/healthy',
    '/stats/',
    '/__proto__',
  ])('%s', async (path) => {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      expectError(await server.client.call({ method, path }), 404, 'CACHE_ERR_ROUTE_NOT_FOUND', /path/);
    }
  });

  test('whatever the body', async () => {
    const { client } = server;
    expectError(await client.send('PUT', '/nothing', '{'), 404, 'CACHE_ERR_ROUTE_NOT_FOUND');
    const headers = { 'content-type': 'text/plain' };
    const answer = await client.call({ method: 'POST', path: '/nothing', headers, body: 'text' });
    expectError(answer, 404, 'CACHE_ERR_ROUTE_NOT_FOUND');
  });
});

const ALLOWED: readonly (readonly [path: string, allowed: readonly string[]])[] = [
  ['/', ['GET', 'HEAD']],
  ['/cache', ['DELETE', 'GET', 'HEAD', 'PUT']],
  ['/cache?key=a', ['DELETE', 'GET', 'HEAD', 'PUT']],
  ['/cache/a', ['DELETE', 'GET', 'HEAD']],
  ['/cache/a%2Fb', ['DELETE', 'GET', 'HEAD']],
  ['/put', ['POST']],
  ['/get', ['GET', 'HEAD']],
  ['/get?key=a', ['GET', 'HEAD']],
  ['/health', ['GET', 'HEAD']],
  ['/ready', ['GET', 'HEAD']],
  ['/stats', ['GET', 'HEAD']],
  ['/openapi.json', ['GET', 'HEAD']],
  ['/docs', ['GET', 'HEAD']],
  ['/docs/', ['GET', 'HEAD']],
  ['/docs/swagger-ui.css', ['GET', 'HEAD']],
];
const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE'];

describe('methods', () => {
  test.each(ALLOWED)('%s allows %j', async (path, allowed) => {
    for (const method of METHODS.filter((one) => !allowed.includes(one))) {
      const answer = await server.client.call({ method, path });
      expectError(
        answer,
        405,
        'CACHE_ERR_METHOD_NOT_ALLOWED',
        new RegExp(`${method}.*${allowed.join(', ')}`),
      );
      expect(answer.headers['allow']).toBe(allowed.join(', '));
    }
  });

  test('a wrong method is one whatever the body', async () => {
    const { client } = server;
    const entry = { key: 'a', value: 'v' };
    expectError(await client.send('POST', '/cache', entry), 405, 'CACHE_ERR_METHOD_NOT_ALLOWED');
    expectError(await client.send('PUT', '/put', entry), 405, 'CACHE_ERR_METHOD_NOT_ALLOWED');
    expectError(await client.send('PUT', '/cache/a', '{'), 405, 'CACHE_ERR_METHOD_NOT_ALLOWED');
    const headers = { 'content-type': 'text/plain' };
    const answer = await client.call({ method: 'POST', path: '/cache', headers, body: 'text' });
    expectError(answer, 405, 'CACHE_ERR_METHOD_NOT_ALLOWED');
  });

  test('a method that is known for its body, without one', async () => {
    for (const path of ['/cache', '/cache/a', '/get', '/health']) {
      const answer = await server.client.call({ method: 'QUERY', path });
      expectError(answer, 405, 'CACHE_ERR_METHOD_NOT_ALLOWED');
    }
  });

  test('HEAD on a path without GET', async () => {
    const answer = await server.client.call({ method: 'HEAD', path: '/put' });
    expect([answer.status, answer.headers['allow'], answer.text]).toStrictEqual([405, 'POST', '']);
  });
});
