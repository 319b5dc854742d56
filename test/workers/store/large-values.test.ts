import { describe, expect, test } from 'vitest';
import { EMPTY_SEGMENT_BYTES, BLOCK_BYTES } from '../../../src/shared/segment-sizes.ts';
import { ShedOrder } from '../../../workers/shed-order.ts';
import { NO_METADATA } from '../../../workers/store/metadata.ts';
import type { Chain, SegmentStore } from '../../../workers/store/segment-store.ts';
import { MIB, addPiece, carryOut, chainText, createSegment, createSegments } from '../../support/segments.ts';

const PIECE = 'p'.repeat(BLOCK_BYTES);
const METADATA = { ...NO_METADATA, tag: '0123456789abcdef' };

/** @returns the value that comes, of which so many pieces have come. */
function grow(store: SegmentStore, pieces: number): Chain {
  const chain = store.largeValues.begin();
  for (let i = 0; i < pieces; i++) expect(addPiece(store, chain, PIECE)).toBe(true);
  return chain;
}

function putLarge(store: SegmentStore, key: string, pieces: number, ttlMs = 0): void {
  expect(store.putLarge(key, grow(store, pieces), ttlMs, METADATA)).toBe(true);
}

function fill(store: SegmentStore, entries: number, bytes = 1000): void {
  for (let i = 0; i < entries; i++) store.put(`small-${i}`, 'v'.repeat(bytes), 0);
}

describe('a large value', () => {
  test('counts as live bytes what it has, and as reserved bytes what was taken', () => {
    const { store, ledger } = createSegment();
    const [liveBefore, heldBefore] = [store.liveBytes, ledger.held(0)];
    const chain = grow(store, 3);
    expect(store.liveBytes).toBe(liveBefore);
    expect(ledger.held(0) - heldBefore).toBe(3 * MIB);
    expect(store.putLarge('a', chain, 0, METADATA)).toBe(true);
    expect(store.liveBytes - 3 * BLOCK_BYTES).toBeLessThan(liveBefore + 100);
    store.checkIntegrity();
    store.delete('a');
    while (store.maintain(2 ** 15));
    expect([store.liveBytes, ledger.held(0)]).toEqual([liveBefore, heldBefore + MIB]);
    store.checkIntegrity();
  });

  test('is displaced as one entry, in its turn, and displaces no more than it needs', () => {
    const { store } = createSegment({ ceilingBytes: 40 * MIB });
    for (const key of ['a', 'b', 'c', 'd']) putLarge(store, key, 8);
    store.access('a');
    putLarge(store, 'e', 8);
    expect(['a', 'b', 'c', 'd', 'e'].map((key) => store.peek(key) !== 0)).toEqual([
      true,
      false,
      true,
      true,
      true,
    ]);
    expect(store.counters.evicted).toBe(1);
    store.checkIntegrity();
  });

  test('expires, and is cleared, as others', () => {
    const { store, clock, ledger } = createSegment();
    putLarge(store, 'a', 2, 1000);
    putLarge(store, 'b', 2);
    clock.ms += 1000;
    while (store.maintain(2 ** 15));
    expect([store.entries, store.counters.expired]).toEqual([1, 1]);
    expect(store.clear()).toBe(1);
    store.checkIntegrity();
    while (store.maintain(2 ** 15));
    expect(ledger.held(0)).toBe(EMPTY_SEGMENT_BYTES);
  });

  test('under way stays when all is cleared, and can be stored then', () => {
    const { store } = createSegment();
    putLarge(store, 'a', 2);
    const read = store.chainOf(store.peek('a'))!;
    store.largeValues.pin(read);
    const chain = grow(store, 2);
    store.clear();
    store.checkIntegrity();
    expect(store.putLarge('b', chain, 0, METADATA)).toBe(true);
    expect(chainText(read) === PIECE + PIECE).toBe(true);
    store.largeValues.unpin(read);
    while (store.maintain(2 ** 15));
    expect(read.pieces).toEqual([]);
    store.checkIntegrity();
  });
});

describe('the ceiling', () => {
  test('holds with values under way, and what they hold is left to nobody else', () => {
    const { ledger, stores } = createSegments({ shards: 2, ceilingBytes: 48 * MIB });
    for (const store of stores) fill(store, 30_000);
    const [one, two] = stores.map((store) => store.largeValues.begin());
    for (let i = 0; i < 10; i++) {
      addPiece(stores[0], one, PIECE);
      addPiece(stores[1], two, PIECE);
      for (const store of stores) store.put(`new-${i}`, 'v'.repeat(100_000), 0);
      expect(ledger.totalHeld()).toBeLessThanOrEqual(ledger.ceiling);
    }
    for (const store of stores) store.checkIntegrity();
  });

  test('lets small values in when a value under way has taken all: that one is dropped, and nothing else', () => {
    const { store, ledger } = createSegment({ ceilingBytes: 16 * MIB });
    const chain = store.largeValues.begin();
    while (addPiece(store, chain, PIECE));
    expect(chain.state).toBe('growing');
    expect(store.put('a', 'v'.repeat(MIB), 0)).toBe(true);
    expect([chain.state, store.peek('a') !== 0]).toEqual(['dropped', true]);
    expect(ledger.totalHeld()).toBeLessThanOrEqual(ledger.ceiling);
    store.checkIntegrity();
  });

  test('room is judged before anything is displaced', () => {
    const { stores } = createSegments({ shards: 2, ceilingBytes: 64 * MIB });
    const [one, two] = stores;
    fill(one, 40_000);
    expect(one.largeValues.roomFor(70 * MIB, 0)).toBe('never');
    expect(one.largeValues.roomFor(50 * MIB, 0)).toBe('enough');
    expect(one.largeValues.roomFor(50 * MIB, 10 * MIB)).toBe('not now');
    expect(two.largeValues.roomFor(10 * MIB, 0)).toBe('enough');
    expect(two.largeValues.roomFor(40 * MIB, 0)).toBe('not now');
    const chain = grow(two, 10);
    expect(two.largeValues.roomFor(20 * MIB, 0)).toBe('not now');
    two.largeValues.drop(chain);
    expect(one.counters.evicted + two.counters.evicted).toBe(0);
  });
});

test('what a piece displaces goes in steps of a few entries', () => {
  const { store } = createSegment({ ceilingBytes: 24 * MIB });
  fill(store, 200_000, 60);
  const chain = store.largeValues.begin();
  const piece = { buffer: new ArrayBuffer(BLOCK_BYTES), bytes: BLOCK_BYTES };
  let steps = 0;
  for (let i = 0; i < 8; i++) {
    store.largeValues.beginPiece();
    for (;;) {
      const before = store.counters.evicted;
      const room = store.largeValues.makeRoom(piece);
      expect(store.counters.evicted - before).toBeLessThanOrEqual(32);
      steps++;
      if (room === 'reserved') break;
      expect(room).toBe('more');
    }
    store.largeValues.add(chain, { buffer: new ArrayBuffer(BLOCK_BYTES), bytes: BLOCK_BYTES });
  }
  expect(steps).toBeGreaterThan(8 * 20);
  store.checkIntegrity();
});

describe('a shed order', () => {
  test('gives the memory of large values back, and not of one too many', () => {
    const { store, ledger } = createSegment();
    for (const key of ['a', 'b', 'c', 'd']) putLarge(store, key, 8);
    const heldBefore = ledger.held(0);
    const result = carryOut(new ShedOrder(store, 10 * MIB));
    expect(result).toMatchObject({ shedEntries: 2, releasedBytes: 16 * MIB });
    expect(heldBefore - ledger.held(0)).toBe(16 * MIB);
    expect(store.leftoverBytes).toBe(0);
    store.checkIntegrity();
  });

  test('leaves what is being read to its reader, whose end gives it back', () => {
    const { store, ledger } = createSegment();
    putLarge(store, 'a', 4);
    const chain = store.chainOf(store.peek('a'))!;
    store.largeValues.pin(chain);
    const heldBefore = ledger.held(0);
    carryOut(new ShedOrder(store, 4 * MIB));
    expect([store.entries, chain.state]).toEqual([0, 'orphaned']);
    store.largeValues.unpin(chain);
    while (store.maintain(2 ** 15));
    expect(heldBefore - ledger.held(0)).toBeGreaterThanOrEqual(4 * MIB);
    store.checkIntegrity();
  });

  test('a read keeps its value among the most recently used', () => {
    const { store } = createSegment();
    for (const key of ['a', 'b']) putLarge(store, key, 4);
    const chain = store.chainOf(store.peek('a'))!;
    store.largeValues.touch('a', chain);
    store.largeValues.touch('b', chain);
    carryOut(new ShedOrder(store, MIB));
    expect([store.peek('a') !== 0, store.peek('b')]).toEqual([true, 0]);
  });
});
