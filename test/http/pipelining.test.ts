import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Account } from '../../src/http/intake/account.ts';
import { getText as get, putText as put, statusesIn } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2' });
});

afterAll(() => server[Symbol.asyncDispose]());

const remove = (path: string): string => `DELETE ${path} HTTP/1.1\r\nhost: test\r\n\r\n`;
/** The last one, whose answer is the end of the connection. */
const LAST = 'GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n';

async function answersTo(...requests: readonly string[]): Promise<{ statuses: string[]; text: string }> {
  const raw = await RawSocket.open(server.port);
  raw.write(requests.join(''));
  const text = await raw.ended();
  return { statuses: statusesIn(text), text };
}

describe('requests written in one piece take effect in their order', () => {
  test('a GET sees the PUT before it', async () => {
    await server.client.put('a', 'old');
    const { statuses, text } = await answersTo(put('a', 'new'), get('a'), LAST);
    expect(statuses).toStrictEqual(['201', '200', '200']);
    expect(text).toContain('"value":"new"');
  });

  test.each(['/cache/b', '/cache'])('DELETE %s removes what was put before it', async (path) => {
    const { statuses } = await answersTo(put('b', 'new'), remove(path), get('b'), LAST);
    expect(statuses.slice(1)).toStrictEqual([path === '/cache' ? '200' : '204', '404', '200']);
  });

  test('the last of two PUTs wins, a large one before a small one', async () => {
    const { statuses } = await answersTo(put('c', 'x'.repeat(100_000)), put('c', 'last'), LAST);
    expect(statuses).toStrictEqual(['201', '201', '200']);
    expect((await server.client.get('/cache/c')).text).toContain('"value":"last"');
  });

  test('one that is refused holds up nobody', async () => {
    const bad = put('d', 'ü'.normalize('NFC'));
    const { statuses } = await answersTo(put('d', '1'), bad, get('d'), put('', 'x'), get('d'), LAST);
    expect(statuses).toStrictEqual(['201', '400', '200', '400', '200', '200']);
  });
});

describe('what is not HTTP, behind requests that are', () => {
  test('is answered after them', async () => {
    await server.client.put('e', 'there');
    const { statuses, text } = await answersTo(get('e'), put('e', 'again'), get('e'), 'GARBAGE\r\n\r\n');
    expect(statuses).toStrictEqual(['200', '201', '200', '400']);
    expect(text).toMatch(/there[^]*again[^]*CACHE_ERR_REQUEST_INVALID/);
  });
});

test('a client that closes its side when it has asked gets its answers', async () => {
  await server.client.put('f', 'there');
  const raw = await RawSocket.open(server.port, { isStubborn: true });
  raw.socket.end(put('f', 'again') + get('f'));
  expect(await raw.ended()).toMatch(/201 Created[^]*again/);
});

test.each([
  ['no host', 'GET /cache/a HTTP/1.1\r\nconnection: close\r\n\r\n', 400],
  ['a fragment', 'GET /cache/a#b HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n', 400],
  ['an expectation', 'GET /cache/a HTTP/1.1\r\nhost: test\r\nexpect: junk\r\nconnection: close\r\n\r\n', 417],
  ['CONNECT', 'CONNECT test:80 HTTP/1.1\r\nhost: test\r\n\r\n', 405],
  [
    'a compressed body',
    'PUT /cache HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}',
    415,
  ],
  [
    'a body of a DELETE',
    'DELETE /cache/a HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
    400,
  ],
])('%s is answered in the shape of all errors', async (_what, text, status) => {
  const raw = await RawSocket.open(server.port);
  raw.write(text);
  const [head, body] = (await raw.ended()).split('\r\n\r\n');
  expect(Number(head.slice(9, 12))).toBe(status);
  expect(JSON.parse(body)).toStrictEqual({
    status: 'ERROR',
    code: expect.stringMatching(/^CACHE_ERR_/),
    message: expect.any(String),
  });
});

test('a DELETE with a content type and no body is a DELETE', async () => {
  await server.client.put('g', '1');
  const headers = { 'content-type': 'application/json' };
  const answer = await server.client.call({ method: 'DELETE', path: '/cache/g', headers });
  expect(answer.status).toBe(204);
});

test('an answer that cannot leave before others is counted while it is held', async () => {
  const { purse } = server.app;
  await server.client.put('held', 'x'.repeat(500));
  const hold = vi.spyOn(Account.prototype, 'hold');
  onTestFinished(() => hold.mockRestore());
  await server.client.get('/cache/held');
  expect(hold).not.toHaveBeenCalled();
  const { text } = await answersTo(get('held').repeat(10), LAST);
  expect(text.match(/x{500}/g)?.length).toBe(10);
  expect(hold).toHaveBeenCalledTimes(9);
  for (const [, bytes] of hold.mock.calls) expect(bytes).toBeGreaterThan(500);
  expect(purse.totals.unsentBytes).toBe(0);
});
