import { randomBytes } from 'node:crypto';
import { HttpGetStore, HttpStore } from 'metro-cache';
import { createStorage } from 'unstorage';
import httpDriver from 'unstorage/drivers/http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TestServer, startTestServer } from '../support/server.ts';

const TOKEN = 'sesame';
const HEADERS = { authorization: `Bearer ${TOKEN}` };

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2', AUTH_TOKEN: TOKEN });
});

afterAll(() => server[Symbol.asyncDispose]());

const storage = () =>
  createStorage({
    driver: httpDriver({ base: `http://127.0.0.1:${server.port}/kv/nuxt`, headers: HEADERS }),
  });

const options = () => ({ endpoint: `http://127.0.0.1:${server.port}/kv/metro`, headers: HEADERS });

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
  const key = Buffer.from('0123456789abcdef0123', 'latin1');

  test('its HttpStore has back what it stored, as JSON and as bytes', async () => {
    const store = new HttpStore<unknown>(options());
    expect(await store.get(key)).toBeNull();
    const module = { dependencies: ['a'], output: 'x'.repeat(3 * 2 ** 20) };
    await store.set(key, module);
    expect(await new HttpStore<unknown>(options()).get(key)).toStrictEqual(module);
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
