import { describe, expect, test } from 'vitest';
import { parseOriginList } from '../../src/config/origin-list.ts';
import { startTestServer } from '../support/server.ts';

const ORIGIN = 'https://app.example';
const PREFLIGHT = {
  origin: ORIGIN,
  'access-control-request-method': 'PUT',
  'access-control-request-headers': 'authorization,x-ttl',
};
const LONG = 'a text that is compressed. '.repeat(100);

test('without CORS_ORIGIN nothing is said of origins', async () => {
  await using server = await startTestServer({ SHARDS: '1' });
  const answer = await server.client.call({ method: 'OPTIONS', path: '/kv/a', headers: PREFLIGHT });
  expect(answer.status).toBe(405);
  const { headers } = await server.client.get('/kv/a', { origin: ORIGIN });
  expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toStrictEqual([]);
  expect(headers['vary']).toBeUndefined();
});

test('a preflight is answered without a token, and may be kept', async () => {
  await using server = await startTestServer({
    SHARDS: '1',
    CORS_ORIGIN: `${ORIGIN}, http://localhost:3000`,
    AUTH_TOKEN: 'token',
  });
  const call = { method: 'OPTIONS', path: '/kv/a', headers: PREFLIGHT };
  const answer = await server.client.call(call);
  expect([answer.status, answer.text]).toStrictEqual([204, '']);
  expect(answer.headers).toMatchObject({
    'access-control-allow-origin': ORIGIN,
    'access-control-allow-methods': 'GET, HEAD, PUT, POST, DELETE',
    'access-control-allow-headers': 'authorization,x-ttl',
    'access-control-max-age': '86400',
    vary: 'origin',
  });
  const other = await server.client.call({
    ...call,
    headers: { ...PREFLIGHT, origin: 'https://evil.example' },
  });
  expect([other.status, other.headers['access-control-allow-origin']]).toStrictEqual([204, undefined]);
  // A refusal can be read, too.
  const refused = await server.client.get('/kv/a', { origin: ORIGIN });
  expect([refused.status, refused.headers['access-control-allow-origin']]).toStrictEqual([401, ORIGIN]);
});

test.each([ORIGIN, '*'])('every answer may be read from %s', async (allowed) => {
  await using server = await startTestServer({ SHARDS: '1', CORS_ORIGIN: allowed });
  const { client } = server;
  const origin = { origin: ORIGIN };
  const put = await client.call({ method: 'PUT', path: '/kv/a', headers: origin, body: 'v' });
  await client.call({
    method: 'PUT',
    path: '/kv/text',
    headers: { 'content-type': 'text/plain' },
    body: LONG,
  });
  await client.put('json', LONG);
  const gzip = { ...origin, 'accept-encoding': 'gzip' };
  for (const [answer, vary] of [
    [put, []],
    [await client.get('/kv/a', origin), []],
    [await client.get('/kv/a', { ...origin, 'if-none-match': put.headers.etag! }), []],
    [await client.get('/kv/none', origin), []],
    [await client.get('/none', origin), []],
    [await client.get('/kv/text', gzip), ['accept-encoding']],
    [await client.get('/cache/json', gzip), ['accept-encoding']],
    [await client.get('/stats', gzip), ['accept-encoding']],
    [await client.call({ method: 'DELETE', path: '/kv/a', headers: origin }), []],
  ] as const) {
    expect(answer.headers['access-control-allow-origin']).toBe(allowed);
    expect(answer.headers['access-control-expose-headers']).toBe('ETag, X-TTL, Retry-After');
    const expected = [...(allowed === '*' ? [] : ['origin']), ...vary];
    expect(answer.headers['vary'] ?? '').toBe(expected.join(', '));
  }
  const foreign = await client.get('/kv/text', { origin: 'https://evil.example' });
  expect(foreign.headers['access-control-allow-origin']).toBe(allowed === '*' ? '*' : undefined);
});

describe('CORS_ORIGIN', () => {
  test.each([
    'https://a.example/',
    'a.example',
    'https://a.example,',
    'null',
    '*,https://a.example',
    'https://A.example',
  ])('cannot be %s', (text) => expect(parseOriginList(text)).toBeNull());
  test('may have several origins, or any', () => {
    expect(parseOriginList('https://a.example, http://[::1]:8080')).toStrictEqual(
      new Set(['https://a.example', 'http://[::1]:8080']),
    );
    expect(parseOriginList('')).toStrictEqual(new Set());
    expect(parseOriginList('*')).toBe('*');
  });
});
