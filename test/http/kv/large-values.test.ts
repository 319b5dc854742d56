import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { OVERDUE } from '../../../src/shared/protocol.ts';
import { LargeRead } from '../../../src/shards/large-read.ts';
import { faultValue } from '../../support/faults.ts';
import { type FaultyServer, startFaultyServer } from '../../support/faulty-server.ts';
import { expectError } from '../../support/http-client.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const MIB = 2 ** 20;
const VALUE = randomBytes(16 * MIB);

let server: FaultyServer;
const opened: RawSocket[] = [];

beforeAll(async () => {
  server = await startFaultyServer({ SHARDS: '1' });
});

afterAll(() => server[Symbol.asyncDispose]());

afterEach(async () => {
  for (const raw of opened.splice(0)) raw.close();
  await untilNothingIsHeld();
});

async function untilNothingIsHeld(): Promise<void> {
  await expect
    .poll(() => server.app.purse.totals)
    .toMatchObject({ requests: 0, bodyBytes: 0, unreadBytes: 0 });
}

async function open(text: string): Promise<RawSocket> {
  const raw = await RawSocket.open(server.port);
  opened.push(raw);
  raw.write(text);
  return raw;
}

function putHead(path: string, bytes: number): string {
  return `PUT ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: ${bytes}\r\n\r\n`;
}

function getText(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
}

async function putValue(path: string, value = VALUE): Promise<void> {
  expect((await server.client.call({ method: 'PUT', path, body: value })).status).toBeLessThan(300);
}

describe('a reader', () => {
  test('that goes in the middle leaves nothing behind', async () => {
    await putValue('/kv/read');
    for (let i = 0; i < 20; i++) {
      const raw = await open(getText('/kv/read'));
      await raw.until(/^HTTP\/1.1 200 /);
      raw.socket.resetAndDestroy();
    }
    await untilNothingIsHeld();
    expect((await server.client.get('/kv/read')).bytes.equals(VALUE)).toBe(true);
  });

  test('gets all of the value that was there, though it is replaced and deleted meanwhile', async () => {
    await putValue('/kv/replaced');
    const raw = await open('');
    raw.socket.pause();
    raw.write(getText('/kv/replaced'));
    await expect.poll(() => server.app.purse.totals.requests).toBe(1);
    await putValue('/kv/replaced', Buffer.from('short'));
    await server.client.call({ method: 'DELETE', path: '/kv/replaced' });
    raw.socket.resume();
    await expect.poll(() => raw.text.length).toBeGreaterThan(VALUE.length);
    const body = Buffer.from(raw.text.slice(raw.text.indexOf('\r\n\r\n') + 4), 'latin1');
    expect(body.equals(VALUE)).toBe(true);
  });

  test('of several on one connection gets them in their order', async () => {
    await putValue('/kv/first');
    await putValue('/kv/second', VALUE.subarray(MIB));
    const raw = await open(getText('/kv/first') + getText('/kv/none') + getText('/kv/second'));
    await expect.poll(() => raw.text.length).toBeGreaterThan(31 * MIB);
    const statuses = [...raw.text.matchAll(/HTTP\/1.1 (\d+) [^]*?content-length: (\d+)/g)];
    expect(statuses.map(([, status, bytes]) => [status, bytes])).toMatchObject([
      ['200', `${16 * MIB}`],
      ['404', expect.any(String)],
      ['200', `${15 * MIB}`],
    ]);
  });
});

test('a read that gets no first piece is answered: 503, to Nx a miss', async () => {
  const next = vi.spyOn(LargeRead.prototype, 'next');
  onTestFinished(() => next.mockRestore());
  for (const path of ['/kv/v1/cache/late', '/v1/cache/late']) {
    await putValue('/kv/v1/cache/late');
    next.mockResolvedValueOnce(OVERDUE);
    const answer = await server.client.get(path);
    if (path.startsWith('/kv/')) expectError(answer, 503, 'CACHE_ERR_SHARD_DEADLINE');
    else expect(answer.status).toBe(404);
    expect((await server.client.get(path)).bytes.equals(VALUE)).toBe(true);
  }
});

describe('a shard that dies', () => {
  let restarts = 0;

  async function kill(): Promise<void> {
    await server.client.put('fault', faultValue('exit'));
    await server.untilReplaced(0, ++restarts);
  }

  test('while a value comes: 503, and the value can be sent again', async () => {
    const raw = await open(putHead('/kv/coming', VALUE.length));
    raw.socket.write(VALUE.subarray(0, 5 * MIB));
    await expect
      .poll(async () => (await server.client.stats()).totals.reservedBytes)
      .toBeGreaterThan(5 * MIB);
    await kill();
    raw.socket.write(VALUE.subarray(5 * MIB));
    await raw.until(/^HTTP\/1.1 503 [^]*retry-after: 1[^]*CACHE_ERR_SHARD_UNAVAILABLE/);
    expect((await server.client.get('/kv/coming')).status).toBe(404);
    await putValue('/kv/coming');
  });

  test('while a value is read: the answer ends before its length', async () => {
    await putValue('/kv/going');
    const raw = await open('');
    raw.socket.pause();
    raw.write(getText('/kv/going'));
    await expect.poll(() => server.app.purse.totals.requests).toBe(1);
    await kill();
    raw.socket.resume();
    const text = await raw.ended();
    expect(text).toMatch(/^HTTP\/1.1 200 [^]*content-length: 16777216\r\n/);
    expect(text.length).toBeLessThan(VALUE.length);
  });
});

test('a value that comes too slowly while others wait: 408, and the others are served', async () => {
  const { limits } = server.app.purse;
  const slow = Math.ceil(limits.bodyBytes / (2 * MIB)) + 1;
  for (let i = 0; i < slow; i++) await open(`${putHead(`/kv/slow/${i}`, 2 * MIB)}x`);
  const answer = await server.client.call({ method: 'PUT', path: '/kv/other', body: VALUE });
  expect(answer.status).toBe(201);
  const refused = opened.filter((raw) => raw.text.startsWith('HTTP/1.1 408 '));
  expect(refused.length).toBeGreaterThan(0);
  expect((await server.client.get('/kv/slow/0')).status).toBe(404);
});

test('what no shard can hold is too large, whatever MAX_RAW_BYTES says', async () => {
  const { client, router } = server;
  expect(router.maxValueBytes).toBeGreaterThan(64 * MIB);
  const path = '/kv/huge';
  const raw = await open(putHead(path, 64 * MIB + 1));
  await raw.until(/^HTTP\/1.1 413 [^]*64 MiB/);
  expectError(await client.get(path), 404, 'CACHE_ERR_KEY_NOT_FOUND');
});
