import { describe, expect, test } from 'vitest';
import { hashKey } from '../../../src/shared/key-hash.ts';
import { Ledger } from '../../../src/shared/ledger.ts';
import { EMPTY_SEGMENT_BYTES } from '../../../src/shared/segment-sizes.ts';
import { HashIndex } from '../../../workers/store/hash-index.ts';
import { SegmentMemory } from '../../../workers/store/segment-memory.ts';
import { NO_SLOT, SlotTable } from '../../../workers/store/slot-table.ts';

function createIndex(seed: readonly [number, number] = [3, 4]) {
  const ledger = Ledger.create(1, { ceiling: 2 ** 24, guarantee: EMPTY_SEGMENT_BYTES, unit: 4096 });
  const slots = new SlotTable(new SegmentMemory(ledger, 0));
  const keys: string[] = [];
  const hash = (key: string): number => hashKey(key, seed[0], seed[1]);
  const index = new HashIndex(slots, (slot) => hash(keys[slot]), new SegmentMemory(ledger, 0));
  return {
    index,
    slots,
    keys,
    ledger,
    hash,
    insert(key: string): number {
      const slot = slots.take();
      keys[slot] = key;
      index.insert(hash(key), slot);
      return slot;
    },
    remove(slot: number): void {
      index.remove(hash(keys[slot]), slot);
      slots.give(slot);
    },
    find(key: string): number {
      let slot = index.head(index.bucketOf(hash(key)));
      while (slot !== NO_SLOT && keys[slot] !== key) slot = slots.chain(slot);
      return slot;
    },
    longestChain(): number {
      let longest = 0;
      for (let bucket = 0; bucket < index.bucketCount; bucket++) {
        let length = 0;
        for (let slot = index.head(bucket); slot !== NO_SLOT; slot = slots.chain(slot)) length++;
        longest = Math.max(longest, length);
      }
      return longest;
    },
  };
}

describe('growing and shrinking', () => {
  test('is by one bucket at the most for one entry, and every key is found at each step', () => {
    const table = createIndex();
    const slots: number[] = [];
    for (let i = 0; i < 700; i++) {
      const before = table.index.bucketCount;
      slots.push(table.insert(`key-${i}`));
      expect(table.index.bucketCount - before).toBeOneOf([0, 1]);
      for (let j = 0; j <= i; j++) if (table.find(`key-${j}`) !== slots[j]) expect.unreachable(`key-${j}`);
    }
    expect(table.index.bucketCount).toBe(Math.ceil(700 / 1.5));
    for (let i = 0; i < 700; i++) {
      const before = table.index.bucketCount;
      table.remove(slots[i]);
      expect(before - table.index.bucketCount).toBeOneOf([0, 1]);
      expect(table.find(`key-${i}`)).toBe(NO_SLOT);
      for (let j = i + 1; j < 700; j++)
        if (table.find(`key-${j}`) !== slots[j]) expect.unreachable(`key-${j}`);
    }
    // Shrinking begins at half of what growing keeps to, and then takes one bucket for each entry that goes.
    expect(table.index.bucketCount).toBe(Math.ceil(700 / 1.5) - 350);
  });

  test('a key put and deleted in turn does not move the table', () => {
    const table = createIndex();
    for (let i = 0; i < 300; i++) table.insert(`key-${i}`);
    const before = table.index.bucketCount;
    for (let i = 0; i < 10; i++) {
      table.remove(table.insert('in turn'));
      expect(table.index.bucketCount - before).toBeOneOf([0, 1]);
    }
  });

  test('where the ledger refuses a chunk, chains grow longer and every key is found', () => {
    const table = createIndex();
    const taken = Array.from({ length: 60_000 }, () => table.slots.take());
    while (table.ledger.tryReserve(0, 4096));
    for (const slot of taken) {
      table.keys[slot] = `key-${slot}`;
      table.index.insert(table.hash(`key-${slot}`), slot);
    }
    expect(table.index.bucketCount).toBe(2 ** 15);
    for (const slot of taken) if (table.find(`key-${slot}`) !== slot) expect.unreachable(`key-${slot}`);
  });
});

/** Keys that share the low twelve bits of their hash, and so a bucket, under a seed that was guessed. */
function colliding(seed: readonly [number, number]): string[] {
  const keys: string[] = [];
  for (let i = 0; keys.length < 400; i++) {
    if ((hashKey(`crafted-${i}`, seed[0], seed[1]) & 0xfff) === 0) keys.push(`crafted-${i}`);
  }
  return keys;
}

describe('crafted keys', () => {
  test.each([
    [0, 0],
    [0x12345678, 0x9abcdef0],
  ] as const)('collide under the seed they were made for, [%i, %i], and under no other', (...guessed) => {
    const crafted = colliding(guessed);
    const victim = createIndex(guessed);
    for (const key of crafted) victim.insert(key);
    expect(victim.longestChain()).toBe(crafted.length);
    for (const other of [
      [guessed[0], guessed[1] ^ 1],
      [guessed[0] ^ 0x80000000, guessed[1]],
      [0xdeadbeef, 7],
    ] as const) {
      const safe = createIndex(other);
      for (const key of crafted) safe.insert(key);
      // Of 400 keys over 267 buckets, more than a dozen in one is less likely than once in a billion.
      expect(safe.longestChain()).toBeLessThan(13);
    }
  });
});
