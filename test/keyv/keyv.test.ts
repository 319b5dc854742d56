import { Keyv as Keyv5 } from 'keyv';
import { Keyv as Keyv6 } from 'keyv6';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { KeyvStore } from '../../src/keyv/keyv-store.ts';
import { freePort } from '../support/free-port.ts';
import { ServedClient } from '../support/served-client.ts';

const served = new ServedClient();

afterEach(() => served.cache.clear());

/** What both have, as they are used here. */
interface AnyKeyv {
  get(key: string): Promise<unknown>;
  get(keys: string[]): Promise<unknown[]>;
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  setMany(entries: { key: string; value: unknown; ttl?: number }[]): Promise<unknown>;
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  delete(key: string): Promise<boolean>;
  delete(keys: string[]): Promise<unknown>;
  clear(): Promise<unknown>;
  iterator?: unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

const MAJORS: readonly [string, (store: KeyvStore, namespace?: string) => AnyKeyv][] = [
  ['Keyv 5', (store, namespace) => new Keyv5(namespace === undefined ? { store } : { store, namespace })],
  ['Keyv 6', (store, namespace) => new Keyv6(namespace === undefined ? { store } : { store, namespace })],
];

const UNICODE = ['grün', '🌱 leaf', '日本', '%25', 'a/b?c', '\u0000\n', '\ud800', '', ':', 'x'.repeat(200)];

describe.each(MAJORS)('%s', (_major, create) => {
  const open = (namespace?: string): AnyKeyv => create(new KeyvStore(served.cache), namespace);

  test('keys and values of any characters come back as they were', async () => {
    const keyv = open('ünïcode');
    const keys = UNICODE.filter((key) => key !== '');
    await Promise.all(keys.map((key) => keyv.set(key, { text: key, list: [null, 1.5, key] })));
    for (const key of keys) expect(await keyv.get(key)).toStrictEqual({ text: key, list: [null, 1.5, key] });
    expect(await keyv.get(keys)).toHaveLength(keys.length);
  });

  test('many keys at once', async () => {
    const keyv = open();
    const entries = Array.from({ length: 2500 }, (_, i) => ({ key: `k${i}`, value: i }));
    expect(await keyv.setMany(entries)).toStrictEqual(entries.map(() => true));
    expect(await keyv.get(['k0', 'none', 'k2499'])).toStrictEqual([0, undefined, 2499]);
    expect(await keyv.hasMany(['k0', 'none'])).toStrictEqual([true, false]);
    await keyv.delete(['k0', 'k1']);
    expect(await keyv.hasMany(['k0', 'k1', 'k2'])).toStrictEqual([false, false, true]);
    expect(await keyv.delete('k2')).toBe(true);
    expect(await keyv.delete('k2')).toBe(false);
  });

  test('an entry goes when its time is over, in the cache, too', async () => {
    const keyv = open();
    await keyv.set('brief', 'v', 1000);
    expect(await keyv.has('brief')).toBe(true);
    await expect.poll(() => keyv.has('brief')).toBe(false);
    expect(await keyv.get('brief')).toBeUndefined();
  });

  test('clear removes the entries of its namespace, thousands of them, and no others', async () => {
    const namespaces = ['a', 'a:', 'a::b', 'a%3A', 'b'];
    const all = namespaces.map((namespace) => open(namespace));
    for (const keyv of all) {
      await keyv.setMany(Array.from({ length: 1500 }, (_, i) => ({ key: `k${i}`, value: i })));
    }
    await served.cache.set('a::by hand', 'v');
    await served.cache.set('by hand', 'v');
    await all[0].clear();
    expect(await all[0].hasMany(['k0', 'k1499'])).toStrictEqual([false, false]);
    for (const keyv of all.slice(1)) expect(await keyv.hasMany(['k0', 'k1499'])).toStrictEqual([true, true]);
    expect((await served.cache.stats())['totals']).toMatchObject({ entries: 4 * 1500 + 1 });
    expect(await served.cache.has('by hand')).toBe(true);
  });

  test('without a namespace, clear leaves those that have one', async () => {
    const [named, bare] = [open('named'), create(new KeyvStore(served.cache))];
    await named.set('k', 1);
    await bare.set('k', 2);
    await bare.clear();
    expect([await named.get('k'), await bare.get('k')]).toStrictEqual([1, undefined]);
  });

  test('iterates over the entries of its namespace', async () => {
    const [keyv, other] = [open('one'), open('one:two')];
    await keyv.setMany(Array.from({ length: 1200 }, (_, i) => ({ key: `ключ ${i}`, value: i })));
    await other.set('other', 'v');
    const found = new Map<string, unknown>();
    const iterate = keyv.iterator as () => AsyncGenerator<[string, unknown]>;
    for await (const [key, value] of iterate.call(keyv)) found.set(key, value);
    expect(found.size).toBe(1200);
    for (let i = 0; i < 1200; i++) expect(found.get(`ключ ${i}`)).toBe(i);
  });

  test('a key that is too long is an error that says so; nothing else is stored', async () => {
    const keyv = open();
    const errors: Error[] = [];
    keyv.on('error', (error) => errors.push(error));
    expect(await keyv.set('k'.repeat(300), 'v')).toBe(false);
    expect(errors).toMatchObject([{ code: 'CACHE_ERR_KEY_INVALID', status: 400 }]);
    expect((await served.cache.stats())['totals']).toMatchObject({ entries: 0 });
  });

  test('without a server, a get is a miss, and a set fails with an error that is emitted', async () => {
    const store = new KeyvStore(`http://127.0.0.1:${await freePort()}`, { timeoutMs: 300 });
    const keyv = create(store);
    onTestFinished(() => store.disconnect());
    const errors: Error[] = [];
    keyv.on('error', (error) => errors.push(error));
    expect(await keyv.get('k')).toBeUndefined();
    expect(await keyv.set('k', 'v')).toBe(false);
    expect(errors.at(-1)).toMatchObject({ status: 0 });
  });
});

test('both majors have the same entries', async () => {
  const [five, six] = [new KeyvStore(served.cache), new KeyvStore(served.cache)];
  five.namespace = 'same';
  six.namespace = 'same';
  await five.set('k', 'v', 60_000);
  expect(await six.get('k')).toBe('v');
  await six.set('k', 'v', -1);
  expect(await five.has('k')).toBe(false);
});

test('Keyv 5 keeps the error of a get to itself, unless it is to throw', async () => {
  const store = new KeyvStore(`http://127.0.0.1:${await freePort()}`);
  onTestFinished(() => store.disconnect());
  const keyv = new Keyv5({ store, throwOnErrors: true });
  await expect(keyv.get('k')).rejects.toMatchObject({ code: 'CACHE_ERR_CLIENT_CONNECTION' });
});

test('a value that no serializer made is refused', async () => {
  await expect(new KeyvStore(served.cache).set('k', { a: 1 })).rejects.toThrow(TypeError);
});

test('disconnect closes a client that is its own, and no other', async () => {
  const own = new KeyvStore(`http://127.0.0.1:${served.port}`);
  await own.set('k', 'v');
  await own.disconnect();
  await expect(own.get('k')).rejects.toMatchObject({ code: 'CACHE_ERR_CLIENT_CLOSED' });
  await new KeyvStore(served.cache).disconnect();
  expect(await served.cache.get('::k')).toBe('v');
});
