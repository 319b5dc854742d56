import { randomBytes } from 'node:crypto';
import { HttpGetStore, HttpStore } from 'metro-cache';
import { type Storage, createStorage } from 'unstorage';
import httpDriver from 'unstorage/drivers/http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faultValue } from '../support/faults.ts';
import { startFaultyServer } from '../support/faulty-server.ts';
import { freePort } from '../support/free-port.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const TOKEN = 'sesame';
const HEADERS = { authorization: `Bearer ${TOKEN}` };

let server: TestServer;
/** Of what is asked for in vain. */
const KEY = Buffer.from('0123456789abcdef0123', 'latin1');

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2', AUTH_TOKEN: TOKEN });
});

afterAll(() => server[Symbol.asyncDispose]());

function storage(port = server.port): Storage {
  const base = `http://127.0.0.1:${port}/kv/nuxt`;
  return createStorage({ driver: httpDriver({ base, headers: HEADERS }) });
}

function options(port = server.port): { endpoint: string; headers: Record<string, string> } {
  return { endpoint: `http://127.0.0.1:${port}/kv/metro`, headers: HEADERS };
}

describe('unstorage', () => {
  test.each([
    ['an object', { a: [1, 'zwei', null] }],
    ['text that is no JSON', 'plain text, with é and {'],
    ['a number', 42],
  ])('%s', async (_name, value) => {
    await storage().setItem('a:b c:d', value);
    expect(await storage().getItem('a:b c:d')).toStrictEqual(value);
  });

  test('bytes', async () => {
    const bytes = randomBytes(100_000);
    await storage().setItemRaw('raw', bytes);
    const got = await storage().getItemRaw<ArrayBuffer>('raw');
    expect(Buffer.from(got!).equals(bytes)).toBe(true);
  });

  test('has, meta, ttl and remove', async () => {
    expect(await storage().hasItem('b')).toBe(false);
    expect(await storage().getItem('b')).toBeNull();
    await storage().setItem('b', 'v', { ttl: 60 });
    expect(await storage().hasItem('b')).toBe(true);
    const { ttl } = await storage().getMeta('b');
    expect(ttl).toBeGreaterThan(50);
    await storage().removeItem('b');
    await storage().removeItem('b');
    expect(await storage().hasItem('b')).toBe(false);
  });
});

describe('metro-cache', () => {
  test('its HttpStore has back what it stored, as JSON and as bytes', async () => {
    const store = new HttpStore<unknown>(options());
    expect(await store.get(KEY)).toBeNull();
    const module = { dependencies: ['a'], output: 'x'.repeat(3 * 2 ** 20) };
    await store.set(KEY, module);
    expect(await new HttpStore<unknown>(options()).get(KEY)).toStrictEqual(module);
    const bytes = randomBytes(2 ** 21);
    await store.set(Buffer.from('bytes'), bytes);
    expect(bytes.equals((await store.get(Buffer.from('bytes'))) as Buffer)).toBe(true);
  });

  test('its HttpGetStore only reads', async () => {
    await new HttpStore<unknown>(options()).set(Buffer.from('read'), { a: 1 });
    const store = new HttpGetStore<unknown>(options());
    expect(await store.get(Buffer.from('read'))).toStrictEqual({ a: 1 });
    expect(await store.get(Buffer.from('none'))).toBeNull();
  });
});

/** What each of the stores does with a read and a write. */
async function expectFailures(port: number): Promise<void> {
  expect(await new HttpGetStore<unknown>(options(port)).get(KEY)).toBeNull();
  const store = new HttpStore<unknown>(options(port));
  await expect(store.get(KEY)).rejects.toThrow();
  await expect(store.set(KEY, { a: 1 })).rejects.toThrow();
  await expect(storage(port).getItem('a')).rejects.toThrow();
  await expect(storage(port).setItem('a', 'v')).rejects.toThrow();
}

describe('in trouble', () => {
  test('a shard is started again', async () => {
    await using faulty = await startFaultyServer({ SHARDS: '1' });
    faulty.failNextStarts(Array.from({ length: 50 }, () => 'exit' as const));
    await faulty.client.put('fault', faultValue('exit'));
    await expect.poll(() => faulty.router.isReady).toBe(false);
    await expectFailures(faulty.port);
  });

  test('the server is gone', async () => {
    await expectFailures(await freePort());
  });
});
