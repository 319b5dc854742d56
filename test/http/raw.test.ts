import { afterAll, beforeAll, expect, test } from 'vitest';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '1' });
});

afterAll(() => server[Symbol.asyncDispose]());

/** What the server says to these bytes before it closes the connection. */
async function answerTo(text: string): Promise<{ status: number; body: unknown }> {
  const raw = await RawSocket.open(server.port);
  raw.write(text);
  const [head, body] = (await raw.ended()).split('\r\n\r\n');
  expect(head).toMatch(/^content-type: application\/json/im);
  expect(head).toMatch(new RegExp(`^content-length: ${body.length}$`, 'im'));
  return { status: Number(head.slice(9, 12)), body: JSON.parse(body) };
}

function refusal(status: number, code: string, message: string): { status: number; body: object } {
  return { status, body: { status: 'ERROR', code, message } };
}

test.each([
  ['what is not HTTP', 'HELLO\r\n\r\n'],
  ['a header that is none', 'GET /cache/a HTTP/1.1\r\nhost: test\r\nno colon\r\n\r\n'],
  ['a content length that is none', 'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-length: x\r\n\r\n'],
  [
    'a content length that comes twice',
    'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}',
  ],
])('%s is answered 400 in the shape of all errors', async (_what, text) => {
  const message = 'The request is not valid HTTP/1.1.';
  expect(await answerTo(text)).toStrictEqual(refusal(400, 'CACHE_ERR_REQUEST_INVALID', message));
});

test.each([
  [100, 404],
  [101, 431],
])('a request with %i headers of the 100 that it may have is answered %i', async (count, status) => {
  const headers = Array.from({ length: count - 2 }, (_, i) => `h${i}: a\r\n`).join('');
  const text = `GET /cache/none HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${headers}\r\n`;
  expect(await answerTo(text)).toMatchObject({ status });
});

test.each([
  ['headers of 32 KiB', `GET /cache/a HTTP/1.1\r\nhost: test\r\nx: ${'x'.repeat(2 ** 15)}\r\n\r\n`],
  ['a URL of 64 KiB', `GET /cache/${'a'.repeat(2 ** 16)} HTTP/1.1\r\nhost: test\r\n\r\n`],
])('%s: more than the 16 KiB there are, answered 431', async (_what, text) => {
  const message = 'Request line and headers must fit in 16 KiB.';
  expect(await answerTo(text)).toStrictEqual(refusal(431, 'CACHE_ERR_HEADERS_TOO_LARGE', message));
});

test('pipelined requests are answered in their order', async () => {
  for (const key of ['a', 'b', 'c']) await server.client.put(key, `value of ${key}`);
  const raw = await RawSocket.open(server.port);
  const paths = [
    'GET /cache/a',
    'GET /get?key=b',
    'GET /cache/none',
    'DELETE /cache/c',
    'GET /health',
    'GET /cache/',
  ];
  raw.write(paths.map((path) => `${path} HTTP/1.1\r\nhost: test\r\n\r\n`).join(''));
  await raw.until(/CACHE_ERR_KEY_INVALID/);
  raw.close();
  const statuses = [...raw.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  expect(statuses).toStrictEqual(['200', '200', '404', '204', '200', '400']);
  expect(raw.text).toMatch(/value of a[^]*value of b/);
});

test('CONNECT is refused, behind the answers of the requests before it', async () => {
  await server.client.put('a', 'v');
  const raw = await RawSocket.open(server.port);
  const get = 'GET /cache/a HTTP/1.1\r\nhost: test\r\n\r\n';
  raw.write(`${get}${get}CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n`);
  const statuses = [...(await raw.ended()).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  expect(statuses).toStrictEqual(['200', '200', '405']);
});

test('a PUT that has no body is answered, and so is what follows it', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write('PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\r\n');
  raw.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
  expect(await raw.ended()).toMatch(/^HTTP\/1\.1 400 [^]*CACHE_ERR_BODY_INVALID[^]*HTTP\/1\.1 200 /);
});

test('a client that goes away in the middle of a request harms nobody', async () => {
  for (let i = 0; i < 20; i++) {
    const raw = await RawSocket.open(server.port);
    raw.write(
      'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"key"',
    );
    raw.close();
  }
  expect((await server.client.put('after', 'v')).status).toBe(201);
  expect((await server.client.stats()).totals.inFlight).toBe(0);
});
