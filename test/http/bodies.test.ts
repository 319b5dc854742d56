import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { expectError } from '../support/http-client.ts';
import { chunkedPutText, getText, putText, statusesIn } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  await server.client.call({ method: 'DELETE', path: '/cache' });
  await server.client.put('a', 'v');
});

/** The last request, whose answer is the end of the connection. */
const LAST = 'GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n';
const NOTHING = 'transfer-encoding: chunked\r\n\r\n0\r\n\r\n';
/** Ways to say that there is nothing in a body. */
const EMPTY_BODIES: readonly (readonly [what: string, framing: string])[] = [
  ['no body', '\r\n'],
  ['Content-Length: 0', 'content-length: 0\r\n\r\n'],
  ['Content-Length: 00', 'content-length: 00\r\n\r\n'],
  ['an empty chunked body', NOTHING],
  ['an empty chunked body with a trailer', 'transfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n'],
  ['an empty chunked body with a type', `content-type: application/json\r\n${NOTHING}`],
  ['an empty chunked body of another type', `content-type: text/plain\r\n${NOTHING}`],
];
const FULL_BODIES: readonly (readonly [what: string, framing: string])[] = [
  ['a body', 'content-length: 2\r\n\r\n{}'],
  ['a body whose length has zeros in front', 'content-length: 002\r\n\r\n{}'],
  ['a chunked body', 'transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'],
  ['a chunked body of a space', 'transfer-encoding: chunked\r\n\r\n1\r\n \r\n0\r\n\r\n'],
];

async function answersTo(...requests: readonly string[]): Promise<{ statuses: string[]; text: string }> {
  return answersOf(server, requests);
}

async function answersOf(
  { port }: TestServer,
  requests: readonly string[],
): Promise<{ statuses: string[]; text: string }> {
  const raw = await RawSocket.open(port);
  raw.write(requests.join(''));
  const text = await raw.ended();
  return { statuses: statusesIn(text), text };
}

function request(method: string, path: string, framing: string): string {
  return `${method} ${path} HTTP/1.1\r\nhost: test\r\n${framing}`;
}

describe.each(EMPTY_BODIES)('%s is no body', (_what, framing) => {
  test('DELETE of a key: 204, then 404', async () => {
    const once = request('DELETE', '/cache/a', framing);
    expect((await answersTo(once, once, LAST)).statuses).toStrictEqual(['204', '404', '200']);
  });

  test('DELETE of everything: 200', async () => {
    const { statuses, text } = await answersTo(request('DELETE', '/cache', framing), LAST);
    expect(statuses).toStrictEqual(['200', '200']);
    expect(text).toContain('{"status":"OK","removed":1}');
  });

  test('GET and HEAD answer as without it', async () => {
    const { statuses, text } = await answersTo(
      request('GET', '/cache/a', framing),
      request('HEAD', '/cache/a', framing),
      request('GET', '/health', framing),
      request('GET', '/nothing', framing),
      LAST,
    );
    expect(statuses).toStrictEqual(['200', '200', '200', '404', '200']);
    expect(text).toContain('"value":"v"');
  });

  test.each(['PUT /cache', 'POST /put'])('%s: 400 or 415, at once', async (line) => {
    const [method, path] = line.split(' ');
    const { statuses, text } = await answersTo(request(method, path, framing), LAST);
    const isJson = framing.includes('application/json');
    expect(isJson ? ['400'] : ['400', '415']).toContain(statuses[0]);
    expect(statuses.slice(1)).toStrictEqual(['200']);
    expect(text).toMatch(/CACHE_ERR_(BODY_INVALID|MEDIA_TYPE_UNSUPPORTED)/);
  });
});

describe.each(FULL_BODIES)('%s is one', (_what, framing) => {
  test.each(['/cache/a', '/cache'])('DELETE %s: 400, and nothing is removed', async (path) => {
    const { statuses, text } = await answersTo(request('DELETE', path, framing), getText('a'), LAST);
    expect(statuses).toStrictEqual(['400', '200', '200']);
    expect(text).toMatch(/CACHE_ERR_BODY_INVALID.*DELETE takes no body[^]*"value":"v"/);
  });

  test('and never a request of its own', async () => {
    const inner = request('DELETE', '/cache/a', '\r\n');
    const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
    for (const method of ['DELETE', 'GET', 'HEAD']) {
      const { statuses } = await answersTo(
        request(method, '/cache/none', `transfer-encoding: chunked\r\n\r\n${chunk}`),
        request(method, '/cache/none', `content-length: ${inner.length}\r\n\r\n${inner}`),
        getText('a'),
        LAST,
      );
      const refused = method === 'DELETE' ? '400' : '404';
      expect(statuses).toStrictEqual([refused, refused, '200', '200']);
    }
  });
});

describe('a DELETE whose empty body comes late', () => {
  const head = request('DELETE', '/cache/a', 'transfer-encoding: chunked\r\n\r\n');

  // With a rate limit a body may have come before anybody looks at its request.
  test.each(['0', '1000000'])('holds its place on its connection, RATE_LIMIT=%s', async (limit) => {
    await using own = await startTestServer({ RATE_LIMIT: limit });
    const { statuses, text } = await answersOf(own, [
      putText('a', 'first'),
      `${head}0\r\n\r\n`,
      getText('a'),
      putText('a', 'second'),
      getText('a'),
      request('DELETE', '/cache', NOTHING),
      getText('a'),
      LAST,
    ]);
    expect(statuses).toStrictEqual(['201', '204', '404', '201', '200', '200', '404', '200']);
    expect(text).not.toContain('first');
  });

  test('is answered when it has come, byte by byte', async () => {
    const raw = await RawSocket.open(server.port);
    onTestFinished(() => raw.close());
    raw.socket.setNoDelay();
    raw.write(head);
    for (const byte of '0\r\n\r\n') {
      await server.client.get('/health');
      expect(raw.text).toBe('');
      expect((await server.client.get('/cache/a')).status).toBe(200);
      raw.write(byte);
    }
    await raw.until(/^HTTP\/1\.1 204 /);
    raw.write(getText('a'));
    await raw.until(/HTTP\/1\.1 404 /);
  });

  test('is answered as soon as there is something in it', async () => {
    const raw = await RawSocket.open(server.port);
    onTestFinished(() => raw.close());
    raw.write(head);
    await server.client.get('/health');
    raw.write('1\r\nx');
    await raw.until(/^HTTP\/1\.1 400 [^]*CACHE_ERR_BODY_INVALID/);
    raw.write(`\r\n0\r\n\r\n${getText('a')}`);
    await raw.until(/HTTP\/1\.1 200 [^]*"value":"v"/);
  });

  test('is forgotten with its connection', async () => {
    const raw = await RawSocket.open(server.port);
    raw.write(head);
    await expect.poll(() => server.app.purse.totals.requests).toBe(1);
    raw.socket.resetAndDestroy();
    await expect.poll(() => server.app.purse.totals.requests).toBe(0);
    expect((await server.client.get('/cache/a')).status).toBe(200);
  });

  test('is closed when others find no room', async () => {
    const { purse, frontDoor: door } = server.app;
    const limits = { ...door.limits };
    const raw = await RawSocket.open(server.port);
    raw.write(head);
    await expect.poll(() => purse.totals.requests).toBe(1);
    server.client.close();
    onTestFinished(() => void Object.assign(door.limits, limits));
    Object.assign(door.limits, { maxConnections: 1, reserve: 0, waiting: 0 });
    await expect
      .poll(async () => {
        const one = await RawSocket.open(server.port);
        one.close();
        // The time that it may take has passed.
        door.sweep(performance.now() + 2000);
        return raw.isEnded;
      })
      .toBe(true);
  });
});

const BOM = '\ufeff';
const ENTRY = '{"key":"b","value":"w"}';

describe('what clients send as JSON', () => {
  const paths = [
    ['PUT', '/cache'],
    ['POST', '/put'],
  ] as const;

  test.each(paths)('%s %s with a byte order mark', async (method, path) => {
    expect((await server.client.send(method, path, BOM + ENTRY)).status).toBeLessThan(300);
    expect((await server.client.get('/cache/b')).text).toBe('{"status":"OK","key":"b","value":"w"}');
    // One is a mark, a second one is not JSON; a mark alone is nothing.
    for (const body of [BOM + BOM + ENTRY, BOM, `${BOM}{`, ` ${BOM}${ENTRY}`]) {
      expectError(await server.client.send(method, path, body), 400, 'CACHE_ERR_BODY_INVALID', /JSON/);
    }
  });

  test('a long body with a byte order mark', async () => {
    const value = 'x'.repeat(2 ** 20);
    const body = BOM + JSON.stringify({ key: 'b', value });
    expect((await server.client.send('PUT', '/cache', body)).status).toBe(201);
    const { text } = await server.client.get('/cache/b');
    expect((JSON.parse(text) as { value: string }).value === value).toBe(true);
  });

  test.each(['content-length', 'transfer-encoding'])('a byte at a time, by %s', async (framing) => {
    const bytes = Buffer.from(BOM + ENTRY).toString('latin1');
    const raw = await RawSocket.open(server.port);
    onTestFinished(() => raw.close());
    raw.socket.setNoDelay();
    const head = 'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n';
    if (framing === 'content-length') {
      for (const byte of `${head}content-length: ${bytes.length}\r\n\r\n${bytes}`) raw.write(byte);
    } else {
      raw.write(`${head}transfer-encoding: chunked\r\n\r\n`);
      for (const byte of bytes) raw.write(`1\r\n${byte}\r\n`);
      raw.write('0\r\n\r\n');
    }
    await raw.until(/^HTTP\/1\.1 201 /);
    expect((await server.client.get('/cache/b')).text).toContain('"value":"w"');
  });

  test.each([
    'application/json',
    'application/json;charset=utf-8',
    'application/json; charset=utf-8',
    'application/json; charset=UTF-8',
    'application/json; Charset="utf-8"',
    'application/json ; charset=utf8',
    'application/json; odata=verbose; charset=utf-8',
    'application/json;',
    'application/json; charset=ISO-8859-1',
    'application/json; charset=us-ascii',
    'APPLICATION/JSON',
  ])('content type %s is taken', async (type) => {
    for (const [method, path] of paths) {
      const headers = { 'content-type': type };
      const answer = await server.client.call({ method, path, headers, body: ENTRY });
      expect([type, answer.status]).toStrictEqual([type, method === 'PUT' ? 201 : 200]);
    }
  });

  test.each([
    'application/json; charset=utf-16',
    'application/json; charset=UTF-16LE',
    'application/json;charset="utf-32"',
    'application/json; charset=ebcdic',
    'application/json; charset=""',
  ])('content type %s: 415 that names the charset wanted', async (type) => {
    const headers = { 'content-type': type };
    const answer = await server.client.call({ method: 'PUT', path: '/cache', headers, body: ENTRY });
    // The body has come whole: the connection is as good as before.
    expect(answer.headers.connection).not.toBe('close');
    expectError(answer, 415, 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED', /charset must be utf-8.*application\/json/);
  });

  test.each(['utf-16', 'nothing'])('UTF-16 under the name of %s is refused', async (name) => {
    const type = name === 'nothing' ? 'application/json' : `application/json; charset=${name}`;
    const answer = await server.client.call({
      method: 'PUT',
      path: '/cache',
      headers: { 'content-type': type },
      body: Buffer.from(BOM + ENTRY, 'utf16le'),
    });
    expect([400, 415]).toContain(answer.status);
    expect(answer.text).toMatch(/utf-8/i);
  });

  // curl -d, without -H; PowerShell sends the same.
  test.each(['application/x-www-form-urlencoded', 'text/plain;charset=UTF-8', '', 'text/json'])(
    'content type %j: 415 that says what to send',
    async (type) => {
      const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
      const answer = await server.client.call({ method: 'PUT', path: '/cache', headers, body: ENTRY });
      expectError(
        answer,
        415,
        'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
        /send the header "Content-Type: application\/json"/,
      );
    },
  );

  test('Content-Encoding: Identity is none', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'Identity' };
    const answer = await server.client.call({ method: 'PUT', path: '/cache', headers, body: ENTRY });
    expect(answer.status).toBe(201);
  });

  test('as Java asks at first, offering HTTP/2', async () => {
    const offer =
      'connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n';
    const raw = await RawSocket.open(server.port);
    onTestFinished(() => raw.close());
    const put = putText('b', 'w').replace('\r\n\r\n', `\r\n${offer}\r\n`);
    const get = getText('b').replace('\r\n\r\n', `\r\n${offer}\r\n`);
    const remove = request('DELETE', '/cache/b', offer + NOTHING);
    for (const [text, status] of [
      [put, 201],
      [get, 200],
      [remove, 204],
      [get, 404],
    ] as const) {
      raw.text = '';
      raw.write(text);
      await raw.until(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
  });

  test('as .NET asks before a body, with an expectation', async () => {
    const raw = await RawSocket.open(server.port);
    onTestFinished(() => raw.close());
    const [head, body] = chunkedPutText('b', 'w').split('\r\n\r\n', 2);
    raw.write(`${head}\r\nExpect: 100-Continue\r\n\r\n`);
    await raw.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    raw.write(`${body}\r\n\r\n`);
    await raw.until(/HTTP\/1\.1 201 /);
  });
});
