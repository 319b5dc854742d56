import { expect, test } from 'vitest';
import { createSegment } from '../../support/segments.ts';

test('a copy expires in time, and tells the lifetime of its original', () => {
  const { store, clock } = createSegment();
  store.put('a', 'v', 1000);
  store.setLivesOn(store.peek('a'), 5500);
  expect(store.ttlMs(store.peek('a'))).toBe(6000);
  store.setLivesOn(store.peek('a'), Infinity);
  expect(store.ttlMs(store.peek('a'))).toBeUndefined();
  store.setLivesOn(store.peek('a'), 2 ** 40);
  expect(store.ttlMs(store.peek('a'))).toBe(1000 + (2 ** 20 - 2) * 1000);
  store.attachGzip(store.peek('a'), new Uint8Array([1]));
  expect(store.ttlMs(store.peek('a'))).toBe(1000 + (2 ** 20 - 2) * 1000);
  store.checkIntegrity();
  clock.ms += 1000;
  expect(store.get('a')).toBeUndefined();
});
