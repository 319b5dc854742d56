import { expect, test } from 'vitest';
import { Random, printedSeed } from '../../support/random.ts';
import { createSegment } from '../../support/segments.ts';

const SECOND = 1000;

test('the age is that of the least recently used entry, at least, and not much less', () => {
  const { store, clock } = createSegment();
  const random = new Random(printedSeed('ages'));
  /** When each key was last used, the least recently used first. */
  const usedMs = new Map<string, number>();
  const use = (key: string): void => {
    usedMs.delete(key);
    usedMs.set(key, clock.ms);
  };
  let known = 0;
  const stepsMs: number[] = [];
  /** The longest time without any request from `fromMs` to `toMs`: no mark can be made in it. */
  const longestRestMs = (fromMs: number, toMs: number): number => {
    const between = stepsMs.filter((ms) => ms >= fromMs && ms <= toMs);
    return Math.max(0, ...between.slice(1).map((ms, i) => ms - between[i]));
  };
  for (let step = 0; step < 20_000; step++) {
    // Gaps of all sizes: idle for hours, then thousands of requests in a second.
    clock.ms += random.chance(0.01) ? random.whole(1, 2 * 3600 * SECOND) : random.whole(1, 500);
    stepsMs.push(clock.ms);
    const key = `key-${random.whole(0, random.whole(0, 399))}`;
    const action = random.whole(1, 10);
    if (action < 5) {
      if (store.access(key) !== 0) use(key);
    } else if (action < 8) {
      if (usedMs.size < 300 || usedMs.has(key)) {
        store.put(key, 'v', 0);
        use(key);
      }
    } else if (action === 8) {
      store.delete(key);
      usedMs.delete(key);
    } else if (random.chance(0.003)) {
      store.clear();
      usedMs.clear();
    }
    store.maintain(1000);
    const [oldestMs = clock.ms] = usedMs.values();
    const trueAgeMs = clock.ms - oldestMs;
    expect(store.oldestAgeMs).toBeLessThanOrEqual(trueAgeMs);
    if (store.oldestAgeMs > 0) known++;
    // What is not known of it: what few marks leave out, a second, and a rest.
    const unknownMs = trueAgeMs - store.oldestAgeMs - trueAgeMs * 0.5 - 2 * SECOND;
    if (unknownMs > 0)
      expect(unknownMs, `step ${step}`).toBeLessThanOrEqual(
        longestRestMs(oldestMs, clock.ms - store.oldestAgeMs),
      );
  }
  expect(known).toBeGreaterThan(10_000);
});

test('an entry that is used again, alone or at the front, is young', () => {
  const { store, clock } = createSegment();
  store.put('a', 'v', 0);
  store.maintain(1000);
  clock.ms += 10 * SECOND;
  expect(store.oldestAgeMs).toBe(10 * SECOND);
  store.access('a');
  expect(store.oldestAgeMs).toBe(0);
  store.maintain(1000);
  clock.ms += 3 * SECOND;
  store.put('b', 'v', 0);
  expect(store.oldestAgeMs).toBe(3 * SECOND);
  store.delete('a');
  expect(store.oldestAgeMs).toBe(0);
});

test('marks follow entries that are given another slot', () => {
  const { store, clock } = createSegment();
  const most = 40_000;
  for (let i = 0; i < most; i++) {
    store.put(`key-${i}`, 'v', 0);
    if (i % 1000 !== 0) continue;
    store.maintain(1000);
    clock.ms += 2 * SECOND;
  }
  // All but the last thousand go, so that these are moved to the first chunks of slots.
  for (let i = 0; i < most - 1000; i++) store.delete(`key-${i}`);
  while (store.maintain(2 ** 16));
  clock.ms += 100 * SECOND;
  // The last mark was made before them.
  expect(store.oldestAgeMs).toBeLessThanOrEqual(102 * SECOND);
  expect(store.oldestAgeMs).toBeGreaterThanOrEqual(100 * SECOND);
  for (let i = most - 1000; i < most; i++) store.access(`key-${i}`);
  expect(store.oldestAgeMs).toBe(0);
  store.checkIntegrity();
});

test('entries that were never read before they were evicted are counted, whatever evicts them', () => {
  const { store, clock } = createSegment({ capacity: 10 });
  for (let i = 0; i < 10; i++) store.put(`key-${i}`, 'v', 0);
  for (const key of ['key-0', 'key-1', 'key-2']) store.get(key);
  // A look does not count as a read. A put makes it a new entry, which nobody has read.
  store.peek('key-3');
  store.put('key-0', 'w', 0);
  for (let i = 0; i < 10; i++) store.put(`new-${i}`, 'v', 0);
  expect([store.counters.evicted, store.evictedUnread]).toStrictEqual([10, 8]);
  store.get('new-0');
  store.attachGzip(store.access('new-1'), new Uint8Array(100));
  while (store.evict(1, 'shed') > 0);
  expect([store.counters.shed, store.evictedUnread]).toStrictEqual([10, 16]);
  store.put('short', 'v', 1);
  clock.ms += 10;
  store.evict(1, 'shed');
  expect([store.counters.expired, store.evictedUnread]).toStrictEqual([1, 16]);
});
