import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, HttpClient } from '../support/http-client.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const BYTES = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i));
const TOKEN = { authorization: 'Bearer token' };
const READER = { authorization: 'Bearer reader' };
const TYPE = { 'content-type': 'application/octet-stream' };

let server: TestServer;
let client: HttpClient;

beforeAll(async () => {
  server = await startTestServer({
    SHARDS: '1',
    AUTH_TOKEN: 'token',
    AUTH_READ_TOKEN: 'reader',
    MAX_RAW_BYTES: '4mb',
  });
  ({ client } = server);
});

afterAll(() => server[Symbol.asyncDispose]());

type Headers = Readonly<Record<string, string>>;

function put(path: string, body: string | Buffer, headers: Headers = TOKEN): Promise<Answer> {
  return client.call({ method: 'PUT', path, headers: { ...TYPE, ...headers }, body });
}

describe('Nx', () => {
  test('an artifact is stored once, and read', async () => {
    expect((await client.get('/v1/cache/1', { ...TOKEN, ...TYPE })).status).toBe(404);
    const stored = await put('/v1/cache/1', BYTES);
    expect([stored.status, stored.text]).toStrictEqual([200, '']);
    const refused = await put('/v1/cache/1', 'other');
    expect([refused.status, refused.text]).toStrictEqual([409, 'It is there already.']);
    const got = await client.get('/v1/cache/1', { ...TOKEN, 'accept-encoding': 'gzip' });
    expect([got.status, got.bytes.equals(BYTES)]).toStrictEqual([200, true]);
    expect(got.headers).toMatchObject({ 'content-type': TYPE['content-type'], 'content-length': '256' });
    expect((await client.get('/kv/v1/cache/1', TOKEN)).bytes.equals(BYTES)).toBe(true);
  });

  test('without a token: 401, of a type that Nx reads; with one that may only read: 403', async () => {
    for (const answer of [await client.get('/v1/cache/1'), await put('/v1/cache/2', 'v', {})]) {
      expect(answer.status).toBe(401);
      expect(answer.headers['content-type']).toBe('text/plain');
      expect(answer.text).toMatch(/token/);
    }
    expect((await put('/v1/cache/2', 'v', READER)).status).toBe(403);
    expect((await client.get('/v1/cache/2', READER)).status).toBe(404);
  });

  test('whatever else goes wrong has no other status', async () => {
    const long = `/v1/cache/${'h'.repeat(300)}`;
    expect((await client.get(long, TOKEN)).status).toBe(404);
    expect((await put(long, 'v')).status).toBe(403);
    expect((await put('/v1/cache/large', Buffer.alloc(5 * 2 ** 20))).status).toBe(403);
  });
});

describe('Turborepo', () => {
  const path = '/v8/artifacts/0123456789abcdef?teamId=team&slug=other';
  const kept = { 'x-artifact-duration': '12', 'x-artifact-tag': 'c2ln' };

  test('an artifact has its headers back', async () => {
    const miss = await client.get(path, TOKEN);
    expect([miss.status, JSON.parse(miss.text)]).toStrictEqual([
      404,
      { error: { code: 'CACHE_ERR_KEY_NOT_FOUND', message: 'Key not found.' } },
    ]);
    const stored = await put(path, BYTES, { ...TOKEN, ...kept });
    expect([stored.status, JSON.parse(stored.text)]).toStrictEqual([
      200,
      { urls: ['team/0123456789abcdef'] },
    ]);
    const got = await client.get(path, TOKEN);
    expect([got.status, got.bytes.equals(BYTES)]).toStrictEqual([200, true]);
    expect(got.headers).toMatchObject(kept);
    const head = await client.call({ method: 'HEAD', path, headers: TOKEN });
    expect([head.status, head.headers]).toStrictEqual([200, expect.objectContaining(kept)]);
  });

  test('teams do not see what others have', async () => {
    await put('/v8/artifacts/a?slug=one', 'v');
    for (const [query, status] of [
      ['?slug=one', 200],
      ['?teamId=one', 200],
      ['?slug=two', 404],
      ['', 404],
    ] as const) {
      expect((await client.get(`/v8/artifacts/a${query}`, TOKEN)).status).toBe(status);
    }
    const { headers } = await client.get('/v8/artifacts/a?slug=one', TOKEN);
    expect([headers['x-artifact-duration'], headers['x-artifact-tag']]).toStrictEqual([undefined, undefined]);
  });

  test('its other two routes', async () => {
    const status = await client.get('/v8/artifacts/status', READER);
    expect(JSON.parse(status.text)).toStrictEqual({ status: 'enabled' });
    const events = { method: 'POST', path: '/v8/artifacts/events', body: '[{"hash":"a"}]' };
    const noted = await client.call({
      ...events,
      headers: { ...READER, 'content-type': 'application/json' },
    });
    expect([noted.status, noted.text]).toStrictEqual([200, '{}']);
  });

  test('a failure is told in its own shape', async () => {
    const refused = await put(path, 'v', READER);
    expect([refused.status, JSON.parse(refused.text)]).toMatchObject([
      403,
      { error: { code: 'CACHE_ERR_FORBIDDEN' } },
    ]);
    const unknown = await client.get(path);
    expect([unknown.status, JSON.parse(unknown.text)]).toMatchObject([
      401,
      { error: { code: 'CACHE_ERR_UNAUTHORIZED' } },
    ]);
    expect((await client.get(`/v8/artifacts/${'h'.repeat(300)}`, TOKEN)).status).toBe(404);
    expect((await put(`/v8/artifacts/${'h'.repeat(300)}`, 'v')).status).toBe(400);
    expect((await put(path, 'v', { ...TOKEN, 'x-artifact-tag': 't'.repeat(256) })).status).toBe(400);
  });
});
