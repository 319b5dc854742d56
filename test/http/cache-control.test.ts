import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import type { Call } from '../support/http-client.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '1' });
  await server.client.put('a', 'v');
  await server.client.put('long', 'word '.repeat(1000));
  await server.client.put('longer', 'x'.repeat(100_000));
});

afterAll(() => server[Symbol.asyncDispose]());

function put(body: string, headers: Record<string, string> = JSON_TYPE): Call {
  return { method: 'PUT', path: '/cache', headers, body };
}

const CALLS: readonly (readonly [status: number, call: Call])[] = [
  [200, { path: '/cache/a' }],
  [200, { method: 'HEAD', path: '/cache/a' }],
  [200, { path: '/cache?key=a' }],
  [200, { path: '/get?key=a' }],
  [200, { path: '/cache/long', headers: { 'accept-encoding': 'gzip' } }],
  [200, { path: '/cache/longer' }],
  [201, put('{"key":"b","value":"w"}')],
  [200, { ...put('{"key":"b","value":"w"}'), method: 'POST', path: '/put' }],
  [400, put('{')],
  [400, put('{"key":"b","value":5}')],
  [400, { path: '/cache/a?x=1' }],
  [400, { path: '/cache/%zz' }],
  [400, { path: '/cache/a#b' }],
  [400, { method: 'DELETE', path: '/cache/a', headers: { 'content-length': '1' }, body: 'x' }],
  [404, { path: '/cache/none' }],
  [404, { method: 'DELETE', path: '/cache/none' }],
  [404, { path: '/nothing' }],
  [405, { method: 'POST', path: '/cache' }],
  [413, put(JSON.stringify({ key: 'b', value: 'x'.repeat(2 ** 20 + 1) }))],
  [413, { ...put('x'.repeat(7 * 2 ** 20)) }],
  [415, put('text', { 'content-type': 'text/plain' })],
  [417, { path: '/cache/a', headers: { expect: 'junk' } }],
  [200, { path: '/' }],
  [200, { path: '/', headers: { accept: 'text/html' } }],
  [200, { path: '/health' }],
  [200, { path: '/ready' }],
  [200, { path: '/stats' }],
  [200, { path: '/stats', headers: { 'accept-encoding': 'gzip' } }],
  [200, { path: '/openapi.json' }],
  // Last: it empties the cache.
  [200, { method: 'DELETE', path: '/cache' }],
];

test.each(CALLS)('%i to %j is not to be kept', async (status, call) => {
  const answer = await server.client.call(call);
  expect([answer.status, answer.headers['cache-control']]).toStrictEqual([status, 'no-store']);
});

test.each([
  [400, 'HELLO\r\n\r\n'],
  [405, 'CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n'],
  [431, `GET /cache/a HTTP/1.1\r\nhost: test\r\nx: ${'x'.repeat(2 ** 15)}\r\n\r\n`],
])('nor is %i to what is no request', async (status, text) => {
  const raw = await RawSocket.open(server.port);
  raw.write(text);
  expect(await raw.ended()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\ncache-control: no-store\r\n`));
});

test('nor are an error nobody foresaw, a refusal for want of room, a token or the rate', async () => {
  const stats = vi.spyOn(server.router, 'stats').mockRejectedValue(new Error('unforeseen'));
  onTestFinished(() => stats.mockRestore());
  await using guarded = await startTestServer({ SHARDS: '1', AUTH_TOKEN: 'sesame', RATE_LIMIT: '1' });
  const answers = [
    await server.client.get('/stats'),
    await guarded.client.get('/cache/a'),
    await guarded.client.get('/cache/a'),
  ];
  const raw = await RawSocket.open(server.port);
  raw.write('GET /openapi.json HTTP/1.1\r\nhost: test\r\n\r\n'.repeat(17));
  raw.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
  const heads = (await raw.ended()).match(/HTTP\/1\.1 \d+[^]*?\r\n\r\n/g)!;
  expect(heads.filter((head) => head.includes(' 503 '))).toHaveLength(1);
  for (const head of heads) expect(head).toMatch(/^cache-control: no-store\r$/im);
  expect(answers.map(({ status, headers }) => [status, headers['cache-control']])).toStrictEqual([
    [500, 'no-store'],
    [401, 'no-store'],
    [429, 'no-store'],
  ]);
});
