import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  BLOCK_CHARGE_BYTES,
  EMPTY_SEGMENT_BYTES,
  INDEX_CHUNK_BYTES,
  SLOT_CHUNK_BYTES,
} from '../../../src/shared/segment-sizes.ts';
import { ShedOrder } from '../../../workers/shed-order.ts';
import { NO_SLOT } from '../../../workers/store/segment-store.ts';
import { IS_LONG } from '../../support/long.ts';
import { Random, printedSeed } from '../../support/random.ts';
import { MIB, carryOut, createSegment, createSegments } from '../../support/segments.ts';

const KIB = 2 ** 10;
const value = (bytes: number): string => 'v'.repeat(bytes);

/** The bytes of each buffer that goes back to the system, from now on. */
function watchFreed(): readonly number[] {
  const freed: number[] = [];
  const transfer = Reflect.get(ArrayBuffer.prototype, 'transfer');
  const spy = vi.spyOn(ArrayBuffer.prototype, 'transfer');
  spy.mockImplementation(function watched(this: ArrayBuffer, bytes) {
    freed.push(this.byteLength);
    return transfer.call(this, bytes);
  });
  onTestFinished(() => spy.mockRestore());
  return freed;
}

describe('two segments on one ledger', () => {
  test.each([100, 10 * KIB, 200 * KIB, MIB])(
    'a flood of %i bytes each displaces its own oldest, and the ceiling holds after every put',
    (bytes) => {
      const { ledger, stores } = createSegments({ shards: 2, ceilingBytes: 24 * MIB });
      const [busy, quiet] = stores;
      for (let i = 0; i < 10; i++) quiet.put(`quiet-${i}`, value(KIB), 0);
      const puts = ((IS_LONG ? 2 : 1.25) * ledger.ceiling) / bytes;
      for (let i = 0; i < puts; i++) {
        busy.put(`busy-${i}`, value(bytes), 0);
        if (ledger.totalHeld() > ledger.ceiling) expect.unreachable('the ceiling is crossed');
      }
      expect(quiet.entries).toBe(10);
      expect(quiet.counters.evicted).toBe(0);
      expect(busy.counters.evicted).toBeGreaterThan(0);
      for (let i = Math.ceil(puts) - busy.entries; i < puts; i++) {
        if (busy.peek(`busy-${i}`) === 0) expect.unreachable(`busy-${i} went before older ones`);
      }
      for (const store of stores) store.checkIntegrity();
    },
  );

  test('the other can always reach its guarantee', () => {
    const { ledger, stores } = createSegments({ shards: 2, ceilingBytes: 24 * MIB });
    const [busy, quiet] = stores;
    for (let i = 0; i < 5000; i++) busy.put(`busy-${i}`, value(10 * KIB), 0);
    expect(quiet.put('largest', value(MIB), 0)).toBe(true);
    expect(quiet.get('largest')?.length).toBe(MIB);
    for (let i = 0; i < 50; i++) quiet.put(`small-${i}`, value(10 * KIB), 0);
    expect(ledger.held(1)).toBeGreaterThan(ledger.guarantee - 1.5 * BLOCK_CHARGE_BYTES);
    expect(ledger.totalHeld()).toBeLessThanOrEqual(ledger.ceiling);
  });
});

test('a value over the guarantee is refused before anything is displaced', () => {
  const { store, ledger } = createSegment({ ceilingBytes: 8 * MIB });
  for (let i = 0; i < 100; i++) store.put(`key-${i}`, value(10 * KIB), 0);
  const heldBefore = ledger.totalHeld();
  expect(store.put('key-5', value(MIB + 4 * KIB), 0)).toBe(false);
  expect(store.get('key-5')?.length).toBe(10 * KIB);
  expect([store.entries, store.counters.evicted, store.counters.puts]).toEqual([100, 0, 100]);
  expect(ledger.totalHeld()).toBe(heldBefore);
});

test('where reads have scattered the oldest entries, a put still displaces a few, not a whole block', () => {
  const { store } = createSegment({ ceilingBytes: 32 * MIB });
  const random = new Random(printedSeed('holes'));
  const filled = 250_000;
  for (let i = 0; i < filled; i++) store.put(`key-${i}`, value(100), 0);
  for (let i = 0; i < filled; i++) store.get(`key-${random.whole(0, filled - 1)}`);
  let most = 0;
  for (let i = 0; i < 50_000; i++) {
    const { evicted } = store.counters;
    store.put(`next-${i}`, value(100), 0);
    most = Math.max(most, store.counters.evicted - evicted);
  }
  expect(store.counters.evicted).toBeGreaterThan(40_000);
  expect(most).toBeLessThan(10);
});

test.each(['in order', 'scattered'])(
  'a large value displaces its own size of small entries and little more, %s',
  (order) => {
    const { store } = createSegment({ ceilingBytes: 32 * MIB });
    const random = new Random(printedSeed('large among small'));
    const entryBytes = 128;
    const filled = 300_000;
    for (let i = 0; i < filled; i++) store.put(`key-${i}`.padEnd(12), value(100), 0);
    if (order === 'scattered') {
      for (let i = 0; i < filled; i++) store.get(`key-${random.whole(0, filled - 1)}`.padEnd(12));
    }
    const [evictedBefore, most] = [store.counters.evicted, 1.5 * MIB];
    for (let i = 1; i <= 10; i++) {
      const { evicted } = store.counters;
      store.put(`large-${i}`, value(MIB - KIB), 0);
      expect((store.counters.evicted - evicted) * entryBytes).toBeLessThan(most);
    }
    const displaced = (store.counters.evicted - evictedBefore) * entryBytes;
    expect(displaced).toBeGreaterThan(5 * MIB);
    expect(displaced).toBeLessThan(12 * MIB);
    store.checkIntegrity();
  },
);

test('after clear at the ceiling there is room at once, and nothing new is displaced', () => {
  const { store, ledger } = createSegment({ ceilingBytes: 24 * MIB });
  for (let i = 0; i < 300; i++) store.put(`key-${i}`, value(100 * KIB), 0);
  expect(store.counters.evicted).toBeGreaterThan(0);
  store.clear();
  const { evicted } = store.counters;
  for (let i = 0; i < 60; i++) {
    store.put(`large-${i}`, value(i % 2 === 0 ? 200 * KIB : 100 * KIB), 0);
    expect(ledger.totalHeld()).toBeLessThanOrEqual(ledger.ceiling);
  }
  expect([store.entries, store.counters.evicted]).toStrictEqual([60, evicted]);
  store.checkIntegrity();
});

test.each([
  ['the capacity', { capacity: 1000 }],
  ['the ceiling', { ceilingBytes: 24 * MIB }],
])('at %s what has expired makes room before what lives', (_what, limit) => {
  const { store, clock } = createSegment(limit);
  store.put('kept', value(KIB), 0);
  const filled = 'capacity' in limit ? 1000 : 150;
  for (let i = 1; i < filled; i++) store.put(`short-${i}`, value(100 * KIB), 10);
  expect(store.entries).toBe(filled);
  clock.ms += 10;
  for (let i = 1; i < filled; i++) store.put(`next-${i}`, value(100 * KIB), 0);
  expect(store.peek('kept')).not.toBe(NO_SLOT);
  expect(store.counters.evicted).toBe(0);
  expect(store.counters.expired).toBeGreaterThan(filled / 3);
  store.checkIntegrity();
});

test('where nothing is due, a put that displaces does not look at all blocks', () => {
  const { store } = createSegment({ ceilingBytes: 64 * MIB });
  const next = (i: number): boolean => store.put(`key-${i}`, value(100 * KIB), 60_000);
  for (let i = 0; i < 1000; i++) next(i);
  expect(store.counters.evicted).toBeGreaterThan(0);
  let looks = 0;
  const blocks: { earliestExpiryMs: number[] } = Reflect.get(store, 'blocks');
  blocks.earliestExpiryMs = new Proxy(blocks.earliestExpiryMs, {
    get: (target, key) => {
      looks++;
      return Reflect.get(target, key);
    },
  });
  for (let i = 1000; i < 1100; i++) next(i);
  expect(looks).toBeGreaterThan(0);
  expect(looks).toBeLessThan(10 * 100);
});

test('clear gives back everything above an empty segment', () => {
  const { store, ledger } = createSegment();
  expect(ledger.totalHeld()).toBe(EMPTY_SEGMENT_BYTES);
  for (let i = 0; i < 100_000; i++) store.put(`key-${i}`, value(100), 0);
  for (let i = 0; i < 10; i++) store.put(`large-${i}`, value(MIB), 0);
  expect(ledger.totalHeld()).toBeGreaterThan(20 * MIB);
  const freed = watchFreed();
  store.clear();
  expect(store.entries).toBe(0);
  // No more at once than the block that is kept for the next.
  expect(freed.length).toBeLessThan(2);
  const heldBytes = ledger.totalHeld();
  store.maintain(MIB);
  expect(ledger.totalHeld()).toBeLessThan(heldBytes);
  store.checkIntegrity();
  while (store.maintain(MIB));
  expect(ledger.totalHeld()).toBe(EMPTY_SEGMENT_BYTES);
  expect(store.reservedBytes).toBe(SLOT_CHUNK_BYTES + INDEX_CHUNK_BYTES);
  // All that left the ledger went back to the system, but for what the system itself adds to each buffer.
  const freedBytes = freed.reduce((sum, bytes) => sum + bytes, 0);
  expect(freedBytes).toBeGreaterThan((heldBytes - EMPTY_SEGMENT_BYTES) * 0.99);
  store.checkIntegrity();
});

test('an order sheds at most one entry more than asked for, and keeps no memory for the next block', () => {
  const { store, ledger } = createSegment();
  for (let i = 0; i < 100_000; i++) store.put(`key-${i}`, value(100), 0);
  const freed = watchFreed();
  const heldBefore = ledger.totalHeld();
  const result = carryOut(new ShedOrder(store, 2 * MIB));
  expect(result.shedBytes).toBeGreaterThanOrEqual(2 * MIB);
  expect(result.shedBytes).toBeLessThan(2 * MIB + 2 * 128);
  const freedBytes = freed.reduce((sum, bytes) => sum + bytes, 0);
  expect(freedBytes).toBeGreaterThan((heldBefore - ledger.totalHeld()) * 0.99);
});

test('an order sheds what has expired before what lives', () => {
  const { store, clock } = createSegment();
  for (let i = 0; i < 10_000; i++) store.put(`kept-${i}`, value(1000), 0);
  for (let i = 0; i < 10_000; i++) store.put(`short-${i}`, value(1000), 10);
  clock.ms += 10;
  const first = carryOut(new ShedOrder(store, 5 * MIB));
  expect(first.shedEntries).toBe(0);
  expect(first.shedBytes).toBe(0);
  expect(first.releasedBytes).toBeGreaterThan(4 * MIB);
  const { expired } = store.counters;
  expect(expired).toBeGreaterThan(4500);
  expect(expired).toBeLessThan(6000);
  const second = carryOut(new ShedOrder(store, 8 * MIB));
  expect(store.counters.expired).toBe(10_000);
  expect(second.shedEntries).toBeGreaterThan(1000);
  expect(second.shedBytes).toBe(store.shedBytes);
  expect(second.shedBytes).toBeGreaterThan(second.shedEntries * 1000);
  expect(store.entries).toBe(10_000 - second.shedEntries);
  expect(store.peek(`kept-${second.shedEntries - 1}`)).toBe(NO_SLOT);
  expect(store.peek(`kept-${second.shedEntries}`)).not.toBe(NO_SLOT);
  store.checkIntegrity();
});

test('an order gives back what was cleared before it sheds anything', () => {
  const { store, ledger } = createSegment();
  for (let i = 0; i < 100_000; i++) store.put(`old-${i}`, value(100), 0);
  const orderedBytes = ledger.totalHeld() / 10;
  store.clear();
  for (let i = 0; i < 500; i++) store.put(`new-${i}`, value(100), 0);
  const heldBytes = ledger.totalHeld();
  carryOut(new ShedOrder(store, orderedBytes));
  expect([store.entries, store.counters.shed, store.shedBytes]).toStrictEqual([500, 0, 0]);
  expect(ledger.totalHeld()).toBeLessThanOrEqual(heldBytes - orderedBytes);
  store.checkIntegrity();
});

test('an order that is under way when all is cleared leaves alone what is put then', () => {
  const { store } = createSegment();
  for (let i = 0; i < 100_000; i++) store.put(`old-${i}`, value(100), 0);
  const order = new ShedOrder(store, 4 * MIB);
  let ticks = 0;
  order.slice(3, () => ticks++);
  store.clear();
  for (let i = 0; i < 500; i++) store.put(`new-${i}`, value(100), 0);
  carryOut(order);
  expect(store.entries).toBe(500);
});

test('a put looks for expired entries in a few blocks, however many it has to displace', () => {
  const { store, clock } = createSegment({ ceilingBytes: 40 * MIB });
  // Something is due in each block, but little of it.
  for (let i = 0; i < 300_000; i++) store.put(`key-${i}`, value(100), i % 4000 === 3999 ? 10 : 0);
  clock.ms += 10;
  store.put('first', value(MIB), 0);
  const sweep: { walkedEntries: number } = Reflect.get(store, 'sweep');
  const before = sweep.walkedEntries;
  store.put('large', value(MIB), 0);
  expect(sweep.walkedEntries - before).toBeGreaterThan(0);
  // Two blocks of them, and the block that was begun.
  expect(sweep.walkedEntries - before).toBeLessThan(2 ** 14 + 2 ** 13);
  expect(store.peek('large')).not.toBe(NO_SLOT);
  store.checkIntegrity();
});

test('a put that wants one place removes few expired entries, however many there are', () => {
  const capacity = 60_000;
  const { store, clock } = createSegment({ capacity });
  store.put('kept', '', 0);
  for (let i = 1; i < capacity; i++) store.put(`key-${i}`, '', 10);
  clock.ms += 10;
  let most = 0;
  for (let i = 0; i < 200; i++) {
    const { expired } = store.counters;
    store.put(`next-${i}`, '', 0);
    most = Math.max(most, store.counters.expired - expired);
  }
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThan(1000);
  expect(store.counters.evicted).toBe(0);
  store.checkIntegrity();
});

describe('near the ceiling, with two shards', () => {
  test('what a put has just written is there, where its shard has room for few', () => {
    const { stores, ledger } = createSegments({ shards: 2, ceilingBytes: 128 * MIB });
    const [large, small] = stores;
    for (let i = 0; !ledger.isTight(0); i++) large.put(`key-${i}`, value(20 * KIB), 0);
    for (let i = 0; i < 50; i++) {
      small.put(`key-${i}`, value(700 * KIB), 0);
      expect(small.peek(`key-${i}`)).not.toBe(NO_SLOT);
      small.put(`small-${i}`, value(100), 0);
      expect(small.peek(`small-${i}`)).not.toBe(NO_SLOT);
    }
    expect(small.counters.evicted).toBeGreaterThan(0);
    for (const store of stores) store.checkIntegrity();
  });

  test('nothing more is displaced once the other one has made room', () => {
    const { stores, ledger } = createSegments({ shards: 2, ceilingBytes: 64 * MIB });
    const [first, second] = stores;
    let other = 0;
    while (ledger.held(1) < 32 * MIB) second.put(`key-${other++}`, value(KIB), 0);
    let next = 0;
    while (first.counters.evicted === 0) first.put(`key-${next++}`, value(KIB), 0);
    second.clear();
    while (second.maintain(MIB));
    const { evicted } = first.counters;
    for (let i = 0; i < 2000; i++) first.put(`key-${next++}`, value(KIB), 0);
    expect(first.counters.evicted).toBe(evicted);
    for (const store of stores) store.checkIntegrity();
  });
});

test('an order looks for what has expired in a few times as much as it is to shed', () => {
  const { store, clock } = createSegment();
  // In each block one entry is due, so that all of them would be walked.
  for (let i = 0; i < 100_000; i++) store.put(`key-${i}`, value(100), i % 5000 === 0 ? 10 : 0);
  clock.ms += 10;
  const looks = vi.spyOn(store, 'removeExpired');
  onTestFinished(() => looks.mockRestore());
  carryOut(new ShedOrder(store, 128 * KIB));
  expect(looks.mock.calls.length).toBe(16);
  expect(store.counters.shed).toBeGreaterThan(0);
});

test.each([100, 5 * KIB, 120 * KIB, 300 * KIB])(
  'an order brings down what is reserved by as much, less one block: values of %i bytes',
  (bytes) => {
    const { store } = createSegment();
    const puts = Math.ceil((60 * MIB) / (bytes + 60));
    for (let i = 0; i < puts; i++) store.put(`key-${i}`, value(bytes), 0);
    // The cold end lies scattered over all blocks.
    for (let i = 0; i < puts; i++) if (i % 3 === 0) store.get(`key-${i}`);
    for (const share of [0.1, 0.3]) {
      const reservedBefore = store.reservedBytes;
      const orderedBytes = Math.floor(reservedBefore * share);
      carryOut(new ShedOrder(store, orderedBytes));
      expect(reservedBefore - store.reservedBytes).toBeGreaterThanOrEqual(orderedBytes - BLOCK_CHARGE_BYTES);
      store.checkIntegrity();
    }
  },
);

test('chunks of slots and of the index are given back when a segment shrinks', () => {
  const { store } = createSegment();
  for (let i = 0; i < 120_000; i++) store.put(`key-${i}`, '', 0);
  const grownBytes = store.reservedBytes;
  for (let i = 0; i < 119_000; i++) {
    store.delete(`key-${(i * 7919) % 120_000}`);
    if (i % 1000 === 0) while (store.maintain(2 ** 20));
  }
  while (store.maintain(2 ** 20));
  expect(store.entries).toBe(1000);
  expect(grownBytes).toBeGreaterThan(7 * SLOT_CHUNK_BYTES + 2 * INDEX_CHUNK_BYTES);
  // A chunk and a half of slots may stand empty, half a chunk of the index.
  expect(store.reservedBytes).toBeLessThanOrEqual(
    2 * SLOT_CHUNK_BYTES + 2 * INDEX_CHUNK_BYTES + 2.5 * BLOCK_CHARGE_BYTES,
  );
  store.checkIntegrity();
});

describe('a gzip form in a segment at its ceiling', () => {
  test.each([2 * KIB, 40 * KIB, 150 * KIB])(
    'of an entry of %i bytes displaces the coldest, and is kept',
    (bytes) => {
      const { store } = createSegment({ ceilingBytes: 16 * MIB });
      const puts = (2 * 16 * MIB) / bytes;
      for (let i = 0; i < puts; i++) store.put(`key-${i}`, value(bytes), 0);
      for (let i = Math.floor(puts) - 20; i < puts; i++) {
        const slot = store.access(`key-${i}`);
        store.attachGzip(slot, Buffer.alloc(bytes / 2, 'g'));
        expect(store.gzipView(slot)?.toString('latin1')).toBe('g'.repeat(bytes / 2));
        expect(store.value(slot)).toBe(value(bytes));
      }
      expect(store.counters.evicted).toBeGreaterThan(0);
      store.checkIntegrity();
    },
  );

  test('of an entry so large that all others might have to go for it is not kept', () => {
    const { store } = createSegment({ ceilingBytes: 6 * MIB });
    for (let i = 0; i < 10; i++) store.put(`key-${i}`, value(0.9 * MIB), 0);
    const before = store.entries;
    const slot = store.access('key-9');
    store.attachGzip(slot, Buffer.alloc(0.5 * MIB, 'g'));
    expect(store.gzipView(slot)).toBeUndefined();
    expect(store.entries).toBe(before);
    store.checkIntegrity();
  });
});
