import { describe, expect, test } from 'vitest';
import { assert } from '../../../src/shared/assert.ts';
import {
  BLOCK_CHARGE_BYTES,
  EMPTY_SEGMENT_BYTES,
  INDEX_CHUNK_BYTES,
  SLOT_CHUNK_BYTES,
} from '../../../src/shared/segment-sizes.ts';
import { NO_SLOT, type SegmentStore } from '../../../workers/store/segment-store.ts';
import { Random, printedSeed } from '../../support/random.ts';
import { MIB, createSegments } from '../../support/segments.ts';

const KIB = 2 ** 10;
const SHARDS = [1, 2, 4, 8];
const SEED = printedSeed('shared limits');
const MOST_CAPACITY = 64;

function totalOf(stores: readonly SegmentStore[]): number {
  return stores.reduce((sum, { entries }) => sum + entries, 0);
}

/** Puts a key where a capacity is set, and checks that it displaced what it had to and no more. */
function putWithin(capacity: number, stores: readonly SegmentStore[], shard: number, key: string): void {
  const store = stores[shard];
  const context = `${key} to shard ${shard} of ${stores.map(({ entries }) => entries).join()}, up to ${capacity}`;
  const before = totalOf(stores);
  const added = store.peek(key) === NO_SLOT ? 1 : 0;
  const others = stores.reduce((sum, { entries }, i) => (i === shard ? sum : sum + Math.max(entries, 1)), 0);
  const own = store.entries + added;
  const { evicted } = store.counters;
  store.put(key, 'v', 0);
  const gone = store.counters.evicted - evicted;
  assert(gone === (own > 1 && others + own > capacity ? 1 : 0), `${gone} went for ${context}`);
  // The number that is documented.
  assert(
    gone === 0 || before + added > capacity - stores.length + 1,
    `${gone} went too early for ${context}`,
  );
  assert(totalOf(stores) === before + added - gone, `entries add up after ${context}`);
  assert(totalOf(stores) <= capacity, `the capacity is kept after ${context}`);
  assert(store.peek(key) !== NO_SLOT, `there is what was put: ${context}`);
}

describe.each(SHARDS)('a capacity of up to 64 entries over %i shard(s)', (shards) => {
  const capacities = Array.from({ length: MOST_CAPACITY - shards + 1 }, (_, i) => shards + i);

  test.each(['evenly', 'to one shard above all'])(
    'is kept, and displaces when it must, keys spread %s',
    (spread) => {
      const random = new Random(SEED);
      for (const capacity of capacities) {
        const { stores } = createSegments({ shards, capacity });
        for (let i = 0; i < 6 * capacity; i++) {
          const number = random.whole(0, 2 * capacity);
          const isSpread = spread === 'evenly' || number % 8 === 0;
          const [shard, key] = [isSpread ? number % shards : 0, `key-${number}`];
          if (random.chance(0.1)) stores[shard].delete(key);
          else putWithin(capacity, stores, shard, key);
        }
        for (let shard = 0; shard < shards; shard++) putWithin(capacity, stores, shard, `last-${shard}`);
        expect(Math.min(...stores.map(({ entries }) => entries))).toBeGreaterThan(0);
      }
    },
  );

  test('is not reached by one shard alone: each other one keeps a place', () => {
    for (const capacity of capacities) {
      const { stores } = createSegments({ shards, capacity });
      for (let i = 0; i < 2 * capacity; i++) putWithin(capacity, stores, 0, `key-${i}`);
      expect(stores[0].entries).toBe(capacity - shards + 1);
    }
  });
});

describe.each(SHARDS)('a ceiling over %i shard(s)', (shards) => {
  test.each([100, 10 * KIB, 120 * KIB, MIB])(
    'displaces nothing before what idle shards are promised is all that is left: values of %i bytes',
    (bytes) => {
      const { ledger, stores } = createSegments({ shards, ceilingBytes: 64 * MIB });
      const promisedBytes = (shards - 1) * (ledger.guarantee - EMPTY_SEGMENT_BYTES);
      const neededBytes = 2 * BLOCK_CHARGE_BYTES + SLOT_CHUNK_BYTES + INDEX_CHUNK_BYTES;
      const marginBytes = promisedBytes + neededBytes;
      ledger.setLimits(ledger.ceiling, ledger.guarantee, marginBytes);
      const [busy] = stores;
      let heldBytes = 0;
      for (let i = 0; busy.counters.evicted === 0; i++) {
        heldBytes = ledger.totalHeld();
        busy.put(`key-${i}`, 'v'.repeat(bytes), 0);
      }
      expect(heldBytes).toBeGreaterThan(ledger.ceiling - marginBytes);
      for (const store of stores) expect(store.put('largest', 'v'.repeat(MIB), 0)).toBe(true);
      expect(ledger.totalHeld()).toBeLessThanOrEqual(ledger.ceiling);
    },
  );
});
