import { describe, expect, test } from 'vitest';
import { Ledger } from '../../../src/shared/ledger.ts';
import {
  BLOCK_BYTES,
  BLOCK_CHARGE_BYTES,
  EMPTY_SEGMENT_BYTES,
  INDEX_CHUNK_BYTES,
  OWN_BLOCK_BYTES,
  SLOT_BYTES,
  SLOT_CHUNK_BYTES,
  blockChargeBytes,
} from '../../../src/shared/segment-sizes.ts';
import { BlockPool, NO_ADDRESS, addressOf, blockOf, wordOf } from '../../../workers/store/block-pool.ts';
import {
  EXPIRES,
  GZIP,
  HEADER_BYTES,
  MAX_KEY_BYTES,
  NOT_TEXT,
  TAG,
  TEXTS,
  VALUE_GZIP,
  checkOf,
  entryBytes,
  flagsOf,
  keyBytesOf,
  keyOffset,
  mayHaveKey,
  packWord1,
} from '../../../workers/store/entry-layout.ts';
import { LruList } from '../../../workers/store/lru-list.ts';
import { SegmentMemory } from '../../../workers/store/segment-memory.ts';
import { NO_SLOT, SlotTable } from '../../../workers/store/slot-table.ts';
import { createSegment } from '../../support/segments.ts';

const CHUNK_SLOTS = SLOT_CHUNK_BYTES / SLOT_BYTES;

function createLedger(ceiling = 2 ** 26): Ledger {
  return Ledger.create(1, { ceiling, guarantee: EMPTY_SEGMENT_BYTES, unit: 4096 });
}

describe('sizes', () => {
  test('are what the memory figures in the documents count with', () => {
    expect(HEADER_BYTES).toBe(12);
    expect(SLOT_BYTES).toBe(16);
    expect(BLOCK_CHARGE_BYTES).toBe(2 ** 20);
    expect(OWN_BLOCK_BYTES).toBe(2 ** 17);
    expect(INDEX_CHUNK_BYTES).toBe(2 ** 17);
    expect(blockChargeBytes(2 ** 20)).toBe(2 ** 20 + 4096);
  });

  test('of entries: header, what is optional, padding to eight', () => {
    expect(entryBytes(0, 1)).toBe(16);
    expect(entryBytes(0, 16 + 100)).toBe(128);
    expect(entryBytes(EXPIRES, 16 + 100)).toBe(136);
    expect(entryBytes(EXPIRES | GZIP, 16 + 100)).toBe(144);
    expect(entryBytes(0, 4)).toBe(16);
    expect(entryBytes(0, 5)).toBe(24);
    expect([0, EXPIRES, GZIP, EXPIRES | GZIP, TEXTS, TAG].map(keyOffset)).toEqual([12, 20, 16, 24, 16, 12]);
    expect(keyOffset(EXPIRES | GZIP | TEXTS | TAG)).toBe(28);
  });

  test('of the packed word survive the round trip', () => {
    for (const flags of [EXPIRES | GZIP, NOT_TEXT | VALUE_GZIP, 0]) {
      for (const keyBytes of [1, 4096, MAX_KEY_BYTES]) {
        const word = packWord1(keyBytes, flags, 0xfe);
        expect([keyBytesOf(word), flagsOf(word), checkOf(word)]).toEqual([keyBytes, flags, 0xfe]);
        expect(mayHaveKey(word, keyBytes, 0xfe)).toBe(true);
        expect(mayHaveKey(word, keyBytes - 1, 0xfe) || mayHaveKey(word, keyBytes, 0xfd)).toBe(false);
      }
    }
  });
});

describe('block pool', () => {
  test('addresses name block and word up to the last ones', () => {
    for (const [block, offset] of [
      [0, 0],
      [1, 8],
      [32_766, BLOCK_BYTES - 8],
    ]) {
      const address = addressOf(block, offset);
      expect([blockOf(address), wordOf(address) * 4]).toEqual([block, offset]);
      expect(address).not.toBe(NO_ADDRESS);
    }
  });

  test('fills a block front to back, opens the next, and releases the one that empties', () => {
    const ledger = createLedger();
    const pool = new BlockPool(new SegmentMemory(ledger, 0));
    const size = 2 ** 16;
    const addresses = Array.from({ length: 16 }, () => pool.allocate(size));
    expect(addresses.slice(0, 15).map(wordOf)).toEqual(addresses.slice(0, 15).map((_, i) => (i * size) / 4));
    expect(blockOf(addresses[15])).not.toBe(blockOf(addresses[0]));
    expect(pool.reservedBytes).toBe(2 * BLOCK_CHARGE_BYTES);
    for (const address of addresses.slice(0, 15)) pool.free(address, size);
    expect(pool.reservedBytes).toBe(BLOCK_CHARGE_BYTES);
    expect(ledger.totalHeld()).toBe(pool.chargedBytes);
    // The open block is kept when it empties, and filled anew.
    pool.free(addresses[15], size);
    expect(pool.allocate(size)).toBe(addresses[15]);
  });

  test('keeps the memory of one released block for the next, within what is charged, and frees the others', () => {
    const ledger = createLedger();
    const pool = new BlockPool(new SegmentMemory(ledger, 0));
    const size = OWN_BLOCK_BYTES - 8;
    const addresses = Array.from({ length: 24 }, () => pool.allocate(size));
    const buffers = [0, 1, 2].map((block) => pool.words[block].buffer);
    for (const address of addresses) if (blockOf(address) < 2) pool.free(address, size);
    expect(buffers.map(({ detached }) => detached)).toEqual([false, true, false]);
    expect(pool.isSpareCharged).toBe(true);
    expect(ledger.totalHeld()).toBe(2 * BLOCK_CHARGE_BYTES);
    let next = pool.allocate(size);
    while (blockOf(next) === 2) next = pool.allocate(size);
    expect(pool.words[blockOf(next)].buffer).toBe(buffers[0]);
  });

  test('gives the spare memory back on demand', () => {
    const pool = new BlockPool(new SegmentMemory(createLedger(), 0));
    const size = OWN_BLOCK_BYTES - 8;
    const addresses = Array.from({ length: 16 }, () => pool.allocate(size));
    const { buffer } = pool.words[0];
    for (const address of addresses) if (blockOf(address) === 0) pool.free(address, size);
    expect(buffer.detached).toBe(false);
    pool.dropSpare();
    expect(buffer.detached).toBe(true);
  });

  test('frees the spare memory when an entry with a block of its own takes the room it is charged for', () => {
    const ledger = createLedger(4 * BLOCK_CHARGE_BYTES);
    const pool = new BlockPool(new SegmentMemory(ledger, 0));
    const size = OWN_BLOCK_BYTES - 8;
    const addresses: number[] = [];
    for (let at = pool.allocate(size); at !== NO_ADDRESS; at = pool.allocate(size)) addresses.push(at);
    const spare = pool.words[0].buffer;
    for (const address of addresses) if (blockOf(address) === 0) pool.free(address, size);
    expect(pool.allocate(BLOCK_CHARGE_BYTES - 4096)).not.toBe(NO_ADDRESS);
    expect(spare.detached).toBe(false);
    expect(pool.allocateForCleaning(BLOCK_CHARGE_BYTES - 4096)).not.toBe(NO_ADDRESS);
    expect(spare.detached).toBe(true);
    expect(pool.isSpareCharged).toBe(true);
    expect(ledger.totalHeld()).toBe(ledger.ceiling);
  });

  test('gives a large entry a block of its own, released with it', () => {
    const pool = new BlockPool(new SegmentMemory(createLedger(), 0));
    const address = pool.allocate(OWN_BLOCK_BYTES);
    expect(pool.reservedBytes).toBe(blockChargeBytes(OWN_BLOCK_BYTES));
    const buffer = pool.words[blockOf(address)].buffer;
    pool.free(address, OWN_BLOCK_BYTES);
    expect(pool.reservedBytes).toBe(0);
    expect(buffer.detached).toBe(true);
  });

  test('at the ceiling only cleaning gets one more block, and gives it back', () => {
    const ledger = createLedger(4 * BLOCK_CHARGE_BYTES);
    const pool = new BlockPool(new SegmentMemory(ledger, 0));
    const size = OWN_BLOCK_BYTES - 8;
    const addresses: number[] = [];
    for (let at = pool.allocate(size); at !== NO_ADDRESS; at = pool.allocate(size)) addresses.push(at);
    expect(pool.reservedBytes).toBe(3 * BLOCK_CHARGE_BYTES);
    expect(pool.allocateForCleaning(size)).not.toBe(NO_ADDRESS);
    expect(ledger.totalHeld()).toBe(ledger.ceiling);
    expect(pool.reservedBytes).toBe(4 * BLOCK_CHARGE_BYTES);
    for (const address of addresses) if (blockOf(address) === 0) pool.free(address, size);
    expect(pool.chargedBytes).toBe(4 * BLOCK_CHARGE_BYTES);
    expect(pool.reservedBytes).toBe(3 * BLOCK_CHARGE_BYTES);
  });
});

describe('slot table', () => {
  test('uses the lowest chunk with room, and gives an empty last one back', () => {
    const ledger = createLedger();
    const slots = new SlotTable(new SegmentMemory(ledger, 0));
    const taken = Array.from({ length: 2 * CHUNK_SLOTS }, () => slots.take());
    expect(new Set(taken).size).toBe(taken.length);
    expect(taken).not.toContain(NO_SLOT);
    expect(slots.reservedBytes).toBe(3 * SLOT_CHUNK_BYTES);
    for (const slot of taken) slots.setAddress(slot, 0);
    slots.give(7);
    slots.give(CHUNK_SLOTS + 7);
    expect([slots.take(), slots.take()]).toEqual([7, CHUNK_SLOTS + 7]);
    expect(slots.lastUsedSlot()).toBe(2 * CHUNK_SLOTS);
    slots.give(2 * CHUNK_SLOTS);
    expect(slots.isSparse).toBe(false);
    expect(slots.lastUsedSlot()).toBe(NO_SLOT);
    slots.dropLastChunk();
    expect(ledger.totalHeld()).toBe(2 * SLOT_CHUNK_BYTES);
  });

  test('has none when the ledger refuses a chunk', () => {
    const ledger = createLedger();
    const slots = new SlotTable(new SegmentMemory(ledger, 0));
    while (ledger.tryReserve(0, 4096));
    for (let i = 1; i < CHUNK_SLOTS; i++) slots.take();
    expect(slots.take()).toBe(NO_SLOT);
    expect(slots.used).toBe(CHUNK_SLOTS - 1);
  });
});

test('the list keeps the order of use through touches, removals and replacements', () => {
  const slots = new SlotTable(new SegmentMemory(createLedger(), 0));
  const list = new LruList(slots);
  const [a, b, c, d] = Array.from({ length: 4 }, () => slots.take());
  for (const slot of [a, b, c]) list.insertMostRecent(slot);
  list.touch(a);
  list.touch(a);
  list.replace(b, d);
  const order: number[] = [];
  for (let slot = list.leastRecent; slot !== NO_SLOT; slot = list.leastRecent) {
    order.push(slot);
    list.remove(slot);
  }
  expect(order).toEqual([d, c, a]);
});

describe('expiry sweep', () => {
  test('finds what nobody asks for, in steps, and frees its blocks', () => {
    const { store, clock } = createSegment();
    for (let i = 0; i < 9000; i++) store.put(`key-${i}`, 'v'.repeat(1000), i % 3 === 0 ? 0 : 100 + (i % 50));
    expect(store.maintain(4096)).toBe(false);
    clock.ms += 120;
    let steps = 0;
    while (store.maintain(4096)) steps++;
    expect(steps).toBeGreaterThan(1000);
    expect(store.counters.expired).toBe(
      Array.from({ length: 9000 }).filter((_, i) => i % 3 && i % 50 <= 20).length,
    );
    clock.ms += 50;
    while (store.maintain(2 ** 20));
    expect(store.entries).toBe(3000);
    expect(store.reservedBytes).toBeLessThan(6 * BLOCK_CHARGE_BYTES);
    store.checkIntegrity();
  });
});
