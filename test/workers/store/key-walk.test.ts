import { expect, test } from 'vitest';
import { Random, printedSeed } from '../../support/random.ts';
import { createSegment } from '../../support/segments.ts';
import type { SegmentStore } from '../../../workers/store/segment-store.ts';

const PREFIX = 'stay:';

/** Lists all keys, and calls `between` after each page of at most `pageKeys` and one bucket. */
function listAll(store: SegmentStore, prefix: string, pageKeys: number, between: () => void): string[] {
  const listed: string[] = [];
  let cursor: number | undefined = 0;
  while (cursor !== undefined) {
    const page = store.listKeys(prefix, cursor, (keys) => keys >= pageKeys);
    listed.push(...page.keys);
    ({ cursor } = page);
    between();
  }
  return listed;
}

test('lists every key with the prefix once, where nothing changes', () => {
  const { store } = createSegment();
  const wanted = Array.from({ length: 3000 }, (_, i) => `${PREFIX}${i}`);
  for (const key of wanted) store.put(key, 'v', 0);
  for (let i = 0; i < 3000; i++) store.put(`other:${i}`, 'v', 0);
  for (const pageKeys of [1, 7, 10_000]) {
    expect(listAll(store, PREFIX, pageKeys, () => undefined).toSorted()).toStrictEqual(wanted.toSorted());
  }
  expect(listAll(store, '', 100, () => undefined)).toHaveLength(6000);
  expect(listAll(store, 'none', 100, () => undefined)).toStrictEqual([]);
});

test('a key that is there from beginning to end is listed, however the segment changes meanwhile', () => {
  const random = new Random(printedSeed('key walk'));
  let repeated = 0;
  for (let round = 0; round < 60; round++) {
    const { store } = createSegment();
    const stays = Array.from({ length: random.whole(1, 300) }, (_, i) => `${PREFIX}${i}`);
    for (const key of stays) store.put(key, 'v', 0);
    const others: string[] = [];
    const put = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const key = `${PREFIX}goes:${others.length}`;
        others.push(key);
        store.put(key, 'v', 0);
      }
    };
    const remove = (count: number): void => {
      for (const key of others.splice(0, count)) store.delete(key);
    };
    put(random.whole(0, 2000));
    const listed = listAll(store, PREFIX, random.whole(1, 60), () => {
      // It grows and shrinks by a large part, and what stays is replaced, moved and read.
      if (random.chance(0.2)) put(random.whole(0, 400));
      if (random.chance(0.2)) remove(random.whole(0, 2000));
      store.put(stays[random.whole(0, stays.length - 1)], 'w'.repeat(random.whole(0, 99)), 0);
      store.maintain(2 ** 12);
    });
    const set = new Set(listed);
    repeated += listed.length - set.size;
    expect(
      stays.filter((key) => !set.has(key)),
      `round ${round}`,
    ).toStrictEqual([]);
  }
  // Otherwise it never shrank, and nothing was tried.
  expect(repeated).toBeGreaterThan(0);
});

test('counts as no read, keeps the order of use, and leaves expired entries out', () => {
  const { store, clock } = createSegment();
  store.put('old', 'v', 0);
  store.put('brief', 'v', 10);
  store.put('new', 'v', 0);
  clock.ms += 20;
  expect(listAll(store, '', 10, () => undefined).toSorted()).toStrictEqual(['new', 'old']);
  expect(store.counters.hits).toBe(0);
  store.evict(1, 'evicted');
  expect(listAll(store, '', 10, () => undefined)).not.toContain('old');
});
