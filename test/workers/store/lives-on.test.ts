import { expect, test } from 'vitest';
import { createSegment } from '../../support/segments.ts';

const TEN_YEARS_MS = 10 * 366 * 86_400_000;

test('a copy expires in time, and tells the lifetime of its original', () => {
  const { store, clock } = createSegment();
  store.put('a', 'v', 1000);
  store.setLivesOn(store.peek('a'), 5500);
  expect(store.ttlMs(store.peek('a'))).toBe(6000);
  store.setLivesOn(store.peek('a'), Infinity);
  expect(store.ttlMs(store.peek('a'))).toBeUndefined();
  store.setLivesOn(store.peek('a'), 2 ** 40);
  store.attachGzip(store.peek('a'), new Uint8Array([1]));
  expect(store.ttlMs(store.peek('a'))).toBe(1000 + (2 ** 19 - 2) * 1024 * 1000);
  store.checkIntegrity();
  clock.ms += 1000;
  expect(store.get('a')).toBeUndefined();
});

test('long lifetimes of originals are told in steps, and never as longer than they are', () => {
  const { store } = createSegment();
  store.put('a', 'v', 1);
  const told = (ms: number): number => {
    store.setLivesOn(store.peek('a'), ms);
    return store.ttlMs(store.peek('a'))! - 1;
  };
  expect(told((2 ** 19 - 1) * 1000)).toBe((2 ** 19 - 1) * 1000);
  for (const ms of [2 ** 19 * 1000, 2 ** 20 * 1000, 123_456_789_123, TEN_YEARS_MS]) {
    expect(told(ms)).toBeLessThanOrEqual(ms);
    expect(told(ms)).toBeGreaterThan(ms - 1024 * 1000);
  }
});
