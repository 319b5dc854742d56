import { createCache } from 'cache-manager';
import { Cacheable } from 'cacheable';
import { Keyv } from 'keyv';
import { expect, test } from 'vitest';
import { KeyvStore } from '../../src/keyv/keyv-store.ts';
import { ServedClient } from '../support/served-client.ts';

const served = new ServedClient();

// The examples of their documentation, with this store in the place of another.
test('cache-manager: set, get, del, mset, mget, mdel, wrap and clear', async () => {
  const manager = createCache({
    stores: [new Keyv({ store: new KeyvStore(served.cache), namespace: 'manager' })],
  });
  expect(await manager.set('foo', 'bar', 60_000)).toBe('bar');
  expect(await manager.get('foo')).toBe('bar');
  expect((await manager.ttl('foo'))! - Date.now()).toBeGreaterThan(50_000);
  await manager.del('foo');
  expect(await manager.get('foo')).toBeUndefined();
  await manager.mset<unknown>([
    { key: 'key1', value: 'value1' },
    { key: 'key2', value: { a: 2 }, ttl: 5000 },
  ]);
  expect(await manager.mget(['key1', 'key2', 'key3'])).toStrictEqual(['value1', { a: 2 }, undefined]);
  await manager.mdel(['key1', 'key2']);
  expect(await manager.mget(['key1', 'key2'])).toStrictEqual([undefined, undefined]);
  let calls = 0;
  const load = (): Promise<number> => Promise.resolve(++calls);
  expect(await manager.wrap('wrapped', load, 60_000)).toBe(1);
  expect(await manager.wrap('wrapped', load, 60_000)).toBe(1);
  await manager.clear();
  expect(await manager.get('wrapped')).toBeUndefined();
});

test('cacheable: as the second level behind memory, shared by two processes', async () => {
  const secondary = (): Keyv => new Keyv({ store: new KeyvStore(served.cache), namespace: 'cacheable' });
  const [one, other] = [new Cacheable({ secondary: secondary() }), new Cacheable({ secondary: secondary() })];
  expect(await one.set('key', { text: 'grün' }, 60_000)).toBe(true);
  expect(await other.get('key')).toStrictEqual({ text: 'grün' });
  await one.setMany([
    { key: 'key1', value: 1 },
    { key: 'key2', value: 2, ttl: '1h' },
  ]);
  expect(await other.getMany(['key1', 'key2', 'key3'])).toStrictEqual([1, 2, undefined]);
  expect(await other.take('key1')).toBe(1);
  expect(await other.has('key1')).toBe(false);
  await one.clear();
  expect((await served.cache.stats())['totals']).toMatchObject({ entries: 0 });
});
