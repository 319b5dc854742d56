import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, expectError } from '../../support/http-client.ts';
import { IS_LONG } from '../../support/long.ts';
import { type TestServer, startTestServer } from '../../support/server.ts';

const PATH = '/kv/conditions/a';
const TEXT = 'some text that is long enough to be compressed. '.repeat(100);

let server: TestServer;
/** Of the entry that is there. */
let tag: string;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2' });
});

afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  tag = (await put({}, 'stored')).headers.etag!;
  expect(tag).toMatch(/^"[\w-]{16}"$/);
});

function put(headers: Readonly<Record<string, string>>, body = 'new'): Promise<Answer> {
  return server.client.call({ method: 'PUT', path: PATH, headers, body });
}

function get(headers: Readonly<Record<string, string>>): Promise<Answer> {
  return server.client.get(PATH, headers);
}

function remove(headers: Readonly<Record<string, string>>): Promise<Answer> {
  return server.client.call({ method: 'DELETE', path: PATH, headers });
}

const OTHER = '"0123456789abcdef"';

test('a PUT without conditions replaces, and says so', async () => {
  const replaced = await put({}, 'other');
  expect([replaced.status, replaced.text]).toStrictEqual([204, '']);
  expect(replaced.headers.etag).not.toBe(tag);
  await remove({});
  const created = await put({}, 'stored');
  expect([created.status, created.text, created.headers.etag]).toStrictEqual([201, '', tag]);
});

test('the tag is that of the content: value, type and encoding', async () => {
  expect((await put({}, 'stored')).headers.etag).toBe(tag);
  expect((await put({ 'content-type': 'text/plain' }, 'stored')).headers.etag).not.toBe(tag);
  expect((await put({ 'content-encoding': 'br' }, 'stored')).headers.etag).not.toBe(tag);
});

describe('If-None-Match of a read', () => {
  test.each([
    ['the tag', () => tag],
    ['a weak form of it', () => `W/${tag}`],
    ['a list with it', () => `${OTHER}, "a,b" ,${tag}`],
    ['its gzip form', () => `${tag.slice(0, -1)}-gzip"`],
    ['*', () => '*'],
  ])('%s: 304', async (_name, field) => {
    for (const method of ['GET', 'HEAD']) {
      const headers = { 'if-none-match': field() };
      const answer = await server.client.call({ method, path: PATH, headers });
      expect([answer.status, answer.text]).toStrictEqual([304, '']);
      expect(answer.headers['cache-control']).toBe('no-cache');
      expect(answer.headers['content-type']).toBeUndefined();
      const named = field().includes('-gzip') ? field() : tag;
      expect(answer.headers.etag).toBe(named);
    }
  });

  test('of another entry: 200; of none: 404', async () => {
    expect((await get({ 'if-none-match': OTHER })).text).toBe('stored');
    await remove({});
    expectError(await get({ 'if-none-match': '*' }), 404, 'CACHE_ERR_KEY_NOT_FOUND');
  });
});

describe('conditions of a write', () => {
  test.each([
    ['If-Match with the tag', () => ({ 'if-match': tag }), true],
    ['If-Match with a list', () => ({ 'if-match': `${OTHER},${tag}` }), true],
    ['If-Match with its gzip form', () => ({ 'if-match': `${tag.slice(0, -1)}-gzip"` }), true],
    ['If-Match: *', () => ({ 'if-match': '*' }), true],
    ['If-Match with another tag', () => ({ 'if-match': OTHER }), false],
    ['If-Match with a tag of another length', () => ({ 'if-match': '"x"' }), false],
    ['If-Match with a weak tag', () => ({ 'if-match': `W/${tag}` }), false],
    ['If-None-Match: *', () => ({ 'if-none-match': '*' }), false],
    ['If-None-Match with the tag', () => ({ 'if-none-match': tag }), false],
    ['If-None-Match with another tag', () => ({ 'if-none-match': OTHER }), true],
    ['both, of which one fails', () => ({ 'if-match': tag, 'if-none-match': '*' }), false],
  ])('%s', async (_name, headers, isMet) => {
    const stored = await put(headers());
    if (!isMet) expectError(stored, 412, 'CACHE_ERR_PRECONDITION_FAILED');
    expect((await get({})).text).toBe(isMet ? 'new' : 'stored');
    await put({}, 'stored');
    expect((await remove(headers())).status).toBe(isMet ? 204 : 412);
    expect((await get({})).status).toBe(isMet ? 404 : 200);
  });

  test('where there is no entry, If-Match is not met, and If-None-Match is', async () => {
    await remove({});
    expectError(await put({ 'if-match': '*' }), 412, 'CACHE_ERR_PRECONDITION_FAILED');
    expectError(await remove({ 'if-match': tag }), 412, 'CACHE_ERR_PRECONDITION_FAILED');
    expect((await put({ 'if-none-match': '*' })).status).toBe(201);
  });

  test('of a value in pieces they are judged when it has come', async () => {
    const large = 'x'.repeat(2 ** 21);
    expectError(await put({ 'if-match': OTHER }, large), 412, 'CACHE_ERR_PRECONDITION_FAILED');
    expect((await get({})).text).toBe('stored');
    const stored = await put({ 'if-match': tag }, large);
    expect(stored.status).toBe(204);
    expect((await get({ 'if-none-match': stored.headers.etag! })).status).toBe(304);
  });
});

test('what is no list of tags is an error, and nothing is done', async () => {
  for (const field of ['abc', '"a" "b"', '"a', '*, "a"', ',', '']) {
    for (const name of ['if-match', 'if-none-match']) {
      for (const answer of [await put({ [name]: field }), await get({ [name]: field })]) {
        expectError(answer, 400, 'CACHE_ERR_REQUEST_INVALID', /^If-(None-)?Match must/);
      }
      expectError(await remove({ [name]: field }), 400, 'CACHE_ERR_REQUEST_INVALID');
    }
  }
  expect((await get({})).text).toBe('stored');
});

test('a compressed answer has a tag of its own, by which its client can go on', async () => {
  const plain = (await put({ 'content-type': 'text/plain' }, TEXT)).headers.etag!;
  const zipped = await get({ 'accept-encoding': 'gzip' });
  expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
  expect(zipped.headers.etag).toBe(`${plain.slice(0, -1)}-gzip"`);
  const again = await get({ 'accept-encoding': 'gzip', 'if-none-match': zipped.headers.etag! });
  expect([again.status, again.headers.etag, again.headers['vary']]).toStrictEqual([
    304,
    zipped.headers.etag,
    'accept-encoding',
  ]);
  expect((await put({ 'if-match': zipped.headers.etag! })).status).toBe(204);
});

test.each([
  ['in one message', 100, 10, IS_LONG ? 1000 : 20],
  ['in pieces', 20, 2 * 2 ** 20, IS_LONG ? 50 : 2],
])('of many clients that create one key, one does: values %s', { timeout: 600_000 }, async (...of) => {
  const [, clients, bytes, rounds] = of;
  for (let round = 0; round < rounds; round++) {
    const path = `/kv/created/${bytes}/${round}`;
    const bodies = Array.from({ length: clients }, (_, i) => `${i}`.padEnd(bytes, '.'));
    const headers = { 'if-none-match': '*' };
    const answers = await Promise.all(
      bodies.map((body) => server.client.call({ method: 'PUT', path, headers, body })),
    );
    const created = answers.findIndex(({ status }) => status === 201);
    expect(answers.filter(({ status }) => status === 412).length).toBe(clients - 1);
    expect((await server.client.get(path)).text === bodies[created]).toBe(true);
  }
});
