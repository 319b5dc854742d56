import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectError } from '../support/http-client.ts';
import { statusesIn } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '1' });
  await server.client.put('a', 'v');
});

afterAll(() => server[Symbol.asyncDispose]());

/** All that comes back until the server closes the connection. */
async function answerTo(text: string): Promise<string> {
  const raw = await RawSocket.open(server.port);
  raw.write(text);
  return raw.ended();
}

const get = (headers: string, version = '1.1', url = '/cache/a'): string =>
  `GET ${url} HTTP/${version}\r\n${headers}\r\n`;
const CLOSE = 'connection: close\r\n';
const chunked = (coding: string, path: string): string =>
  `PUT ${path} HTTP/1.1\r\nhost: test\r\n${coding}\r\n\r\n1\r\nv\r\n0\r\n\r\n`;

describe('Host', () => {
  test.each([
    ['none', ''],
    ['two', 'host: a\r\nHOST: a\r\n'],
    ['two, far apart', 'host: a\r\nx: y\r\nz: z\r\nHost: b\r\n'],
    ['a space in it', 'host: a b\r\n'],
    ['a user in it', 'host: user@a\r\n'],
    ['a path in it', 'host: a/b\r\n'],
    ['a list', 'host: a, b\r\n'],
    ['a port that is none', 'host: a:b\r\n'],
    ['an address without brackets', 'host: ::1\r\n'],
    ['a letter that is not ASCII', 'host: \xe9\r\n'],
  ])('%s: 400', async (_what, headers) => {
    const text = await answerTo(get(headers + CLOSE));
    expect(text).toMatch(/^HTTP\/1\.1 400 [^]*CACHE_ERR_REQUEST_INVALID[^]*Host header/);
  });

  test.each([
    ['a name', 'host: cache\r\n'],
    ['a name with an underscore and a port', 'host: my_cache:7171\r\n'],
    ['an address', 'Host: 127.0.0.1:7171\r\n'],
    ['an IPv6 address', 'HOST: [::1]:7171\r\n'],
    ['a name with an empty port', 'host: cache:\r\n'],
    ['an empty one', 'host:\r\n'],
  ])('%s: 200', async (_what, headers) => {
    expect(await answerTo(get(headers + CLOSE))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('is for nothing where the URL is whole', async () => {
    const url = 'http://other:1/cache/a';
    expect(await answerTo(get(`host: cache\r\n${CLOSE}`, '1.1', url))).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('a whole URL', () => {
  test.each([
    ['GET', '/cache/a', 200],
    ['GET', '/get?key=a', 200],
    ['GET', '/nothing', 404],
    ['POST', '/cache/a', 405],
    ['POST', '/stats?x=1', 405],
  ])('%s %s is answered as the path is: %i', async (method, path, status) => {
    const text = await answerTo(`${method} http://cache:7171${path} HTTP/1.1\r\nhost: cache\r\n${CLOSE}\r\n`);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    const bare = await server.client.call({ method, path });
    expect(bare.status).toBe(status);
    expect(text.split('\r\n\r\n')[1]).toBe(bare.text);
  });
});

describe('HTTP/1.0', () => {
  test('needs no Host, and its connection is closed', async () => {
    const text = await answerTo(get('', '1.0'));
    expect(text).toMatch(/^HTTP\/1\.[01] 200 [^]*connection: close/i);
    expect(text).toContain('"value":"v"');
  });

  test.each(['keep-alive', 'Keep-Alive', 'x, KEEP-ALIVE'])('Connection: %s keeps it', async (option) => {
    const kept = get(`connection: ${option}\r\n`, '1.0');
    const text = await answerTo(kept + kept + get('', '1.0'));
    expect(statusesIn(text)).toStrictEqual(['200', '200', '200']);
    expect(text).toMatch(/connection: keep-alive/i);
  });

  // A client of that version knows no chunks.
  test.each(['/cache/a', '/stats', '/openapi.json', '/docs', '/nothing'])('%s is whole', async (url) => {
    for (const coding of ['', 'accept-encoding: gzip\r\n']) {
      const text = await answerTo(get(coding, '1.0', url));
      expect(text).not.toMatch(/^transfer-encoding:/im);
      const [head] = text.split('\r\n\r\n', 1);
      const length = /^content-length: (\d+)/im.exec(head)?.[1];
      expect(text.length - head.length - 4).toBe(Number(length));
    }
  });

  test('an expectation is ignored', async () => {
    expect(await answerTo(get('expect: 100-continue\r\n', '1.0'))).toMatch(/^HTTP\/1\.[01] 200 /);
  });

  test.each(['GET /cache/a', 'DELETE /cache/a', 'PUT /cache', 'DELETE /cache'])(
    '%s with a chunked body is refused, and its connection closed',
    async (line) => {
      const text = await answerTo(
        `${line} HTTP/1.0\r\nconnection: keep-alive\r\ncontent-type: application/json\r\n` +
          `transfer-encoding: chunked\r\n\r\n0\r\n\r\n${get('host: test\r\n')}`,
      );
      expect(statusesIn(text)).toStrictEqual(['400']);
      expect(text).toMatch(/connection: close[^]*Transfer-Encoding/i);
      expect((await server.client.get('/cache/a')).status).toBe(200);
    },
  );
});

describe('Transfer-Encoding', () => {
  test.each(['gzip, chunked', 'x, Chunked'])('%s is refused, and the connection closed', async (coding) => {
    const path = '/kv/coded';
    const text = await answerTo(
      chunked(`transfer-encoding: ${coding}`, path) + get('host: test\r\n', '1.1', path),
    );
    expect(statusesIn(text)).toStrictEqual(['400']);
    expect(text).toMatch(/connection: close[^]*can be chunked/i);
    expect((await server.client.get(path)).status).toBe(404);
  });

  test('chunked is understood in any case', async () => {
    const text = await answerTo(chunked(`transfer-encoding: Chunked\r\n${CLOSE.trimEnd()}`, '/kv/chunked'));
    expect(text).toMatch(/^HTTP\/1\.1 201 /);
  });
});

describe('Connection', () => {
  test.each(['close', 'Close', 'CLOSE', 'keep-alive, close', 'x, close', ' close '])(
    '%s closes it behind the answer',
    async (option) => {
      const text = await answerTo(get(`host: test\r\nconnection: ${option}\r\n`));
      expect(text).toMatch(/^HTTP\/1\.1 200 [^]*connection: close/i);
    },
  );

  test('in two lines', async () => {
    const headers = 'host: test\r\nconnection: keep-alive\r\nConnection: close\r\n';
    expect(await answerTo(get(headers))).toMatch(/^HTTP\/1\.1 200 /);
  });
});

test('an expectation in any case is met, another one is refused', async () => {
  const raw = await RawSocket.open(server.port);
  raw.write(get('host: test\r\nExpect: 100-CONTINUE\r\n'));
  await raw.until(/HTTP\/1\.1 200 /);
  raw.close();
  const text = await answerTo(get(`host: test\r\nexpect: 200-ok\r\n${CLOSE}`));
  expect(text).toMatch(/^HTTP\/1\.1 417 [^]*CACHE_ERR_EXPECTATION_FAILED/);
  expectError(await server.client.get('/cache/none'), 404, 'CACHE_ERR_KEY_NOT_FOUND');
});
