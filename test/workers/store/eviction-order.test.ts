import { afterEach, describe, expect, test, vi } from 'vitest';
import { assert } from '../../../src/shared/assert.ts';
import {
  BLOCK_CHARGE_BYTES,
  INDEX_CHUNK_BYTES,
  OWN_BLOCK_BYTES,
  SLOT_CHUNK_BYTES,
  blockChargeBytes,
} from '../../../src/shared/segment-sizes.ts';
import { Ledger } from '../../../src/shared/ledger.ts';
import { ShedOrder } from '../../../workers/shed-order.ts';
import { EXPIRES, GZIP, entryBytes } from '../../../workers/store/entry-layout.ts';
import { LruList } from '../../../workers/store/lru-list.ts';
import { NO_SLOT, type SegmentStore } from '../../../workers/store/segment-store.ts';
import { Victims } from '../../../workers/store/victims.ts';
import { originalOf } from '../../support/original-of.ts';
import { Random, printedSeed } from '../../support/random.ts';
import { MIB, type SegmentSetup, type Segments, carryOut, createSegments } from '../../support/segments.ts';

const KIB = 2 ** 10;
/** From entries of which a block holds thousands to those that have one of their own. */
const VALUE_BYTES = [0, 10, 100, KIB, 5 * KIB, 16 * KIB, 100 * KIB, OWN_BLOCK_BYTES, 200 * KIB, MIB];
const FILLER = Buffer.from('Sphinx of black quartz, judge my vow. '.repeat(30_000));
const OPERATIONS = 30_000;
const KEYS = 3000;
/** Between two looks at everything. */
const CHECK_EVERY = 2000;
const MARGIN_SHARE = 1 / 16;
/** A PUT may displace so many times its own size, a block and the largest entry: see ADR 7. */
const MOST_DISPLACED_RATIO = 2;

const SETUPS: readonly SegmentSetup[] = [
  { shards: 1, ceilingBytes: 24 * MIB },
  { shards: 2, ceilingBytes: 40 * MIB },
  { shards: 4, ceilingBytes: 64 * MIB },
  { shards: 4, ceilingBytes: 64 * MIB, capacity: 150 },
];

interface Expected {
  readonly value: Uint8Array;
  readonly expiryMs: number;
}

/**
 * Segments on one ledger, and beside each the order of use that it must keep: a `Map`, least recently used first,
 * without what has expired. It follows from the counters how many went; which ones they are is never taken from the
 * segment: they must be the first of that order.
 */
class OrderOfUse {
  private readonly segments: Segments;
  private readonly random: Random;
  private readonly capacity: number;
  private readonly orders: readonly Map<string, Expected>[];

  constructor(setup: SegmentSetup, random: Random) {
    this.segments = createSegments(setup);
    this.random = random;
    this.capacity = setup.capacity ?? Infinity;
    this.orders = this.segments.stores.map(() => new Map());
  }

  get evicted(): number {
    return this.segments.stores.reduce((sum, store) => sum + store.counters.evicted, 0);
  }

  run(operations: number): void {
    for (let i = 1; i <= operations; i++) {
      this.operate(this.random.whole(0, this.orders.length - 1));
      if (i % CHECK_EVERY === 0) this.checkAll();
    }
    this.takeOut();
  }

  private operate(shard: number): void {
    const { random, segments } = this;
    const store = segments.stores[shard];
    const key = `key-${random.whole(0, KEYS - 1)}`;
    const kind = random.next();
    if (kind < 0.5) this.put(shard, key);
    else if (kind < 0.9) this.get(shard, key);
    else if (kind < 0.93) {
      const wasThere = this.orders[shard].delete(key);
      assert(store.delete(key) === wasThere, `${key} is deleted if it was there`);
    } else if (kind < 0.96) this.attachGzip(shard, random.chance(0.5) ? key : this.coldKey(shard));
    else if (kind < 0.99) store.maintain(2 ** 15);
    else if (kind < 0.998) this.advance(random.whole(1, 50));
    else this.shed(shard);
  }

  private put(shard: number, key: string): void {
    const { random, segments, orders } = this;
    const bytes = VALUE_BYTES[random.whole(0, VALUE_BYTES.length - 1)];
    const start = random.whole(0, 999);
    const value = FILLER.subarray(start, start + bytes);
    const ttlMs = random.chance(0.1) ? random.whole(1, 500) : 0;
    const expiryMs = ttlMs > 0 ? segments.clock.ms + ttlMs : Infinity;
    const order = orders[shard];
    const hadPlace = this.hasPlace(shard, order.has(key));
    const hadRoom = this.hasRoom(shard, entryBytes(ttlMs > 0 ? EXPIRES : 0, key.length + bytes));
    order.delete(key);
    const goneBytes = this.displacedBy(shard, () => {
      assert(segments.stores[shard].put(key, value, ttlMs), `${key} is stored`);
    });
    order.set(key, { value, expiryMs });
    assert(goneBytes === 0 || !hadRoom || !hadPlace, `${goneBytes} bytes went though there was room`);
    assert(goneBytes <= MOST_DISPLACED_RATIO * (bytes + MIB), `${goneBytes} bytes went for ${bytes}`);
    this.checkEntry(shard, key);
  }

  private get(shard: number, key: string): void {
    const store = this.segments.stores[shard];
    const order = this.orders[shard];
    const expected = order.get(key);
    const slot = store.access(key);
    assert((slot !== NO_SLOT) === (expected !== undefined), `${key} is found if it is there`);
    if (!expected) return;
    order.delete(key);
    order.set(key, expected);
    this.checkEntry(shard, key);
  }

  /** The entry may be any: what is compressed on another thread comes late. */
  private attachGzip(shard: number, key: string): void {
    const store = this.segments.stores[shard];
    const slot = store.peek(key);
    if (slot === NO_SLOT) return;
    const gzip = FILLER.subarray(0, Math.ceil(store.valueBytes(slot) / 3));
    const hadRoom = this.hasRoom(
      shard,
      entryBytes(EXPIRES | GZIP, key.length + store.valueBytes(slot) + gzip.length),
    );
    const goneBytes = this.displacedBy(shard, () => store.attachGzip(slot, gzip));
    assert(goneBytes === 0 || !hadRoom, `${goneBytes} bytes went for a gzip form though there was room`);
    this.checkEntry(shard, key);
  }

  private shed(shard: number): void {
    const { ledger, stores } = this.segments;
    const orderedBytes = Math.floor(ledger.held(shard) / 10);
    this.displacedBy(shard, () => carryOut(new ShedOrder(stores[shard], orderedBytes)));
  }

  private advance(ms: number): void {
    const { clock } = this.segments;
    clock.ms += ms;
    for (const order of this.orders) {
      for (const [key, { expiryMs }] of order) if (expiryMs <= clock.ms) order.delete(key);
    }
  }

  /** What goes meanwhile must be the first of this shard's order, and none of the others'. @returns its bytes. */
  private displacedBy(shard: number, act: () => void): number {
    const { stores } = this.segments;
    const before = stores.map(removed);
    act();
    const gone = stores.map((store, i) => removed(store) - before[i]);
    assert(
      gone.every((count, i) => i === shard || count === 0),
      'other shards keep what they hold',
    );
    const order = this.orders[shard];
    let left = gone[shard];
    let goneBytes = 0;
    for (const [key, { value }] of order) {
      const isThere = stores[shard].peek(key) !== NO_SLOT;
      assert(isThere === (left === 0), `${key} is ${isThere ? 'there' : 'gone'}, ${left} are to be gone`);
      if (left === 0) break;
      left--;
      goneBytes += entryBytes(EXPIRES, key.length + value.length);
      order.delete(key);
    }
    assert(left === 0, 'no more went than there were');
    assert(this.segments.ledger.totalHeld() <= this.segments.ledger.ceiling, 'the ceiling is kept');
    return goneBytes;
  }

  /** As documented: a shard grows as long as a sixteenth of the ceiling stays free beside what the others may take. */
  private hasRoom(shard: number, bytes: number): boolean {
    const { ledger, stores } = this.segments;
    const block = bytes >= OWN_BLOCK_BYTES ? blockChargeBytes(bytes) : BLOCK_CHARGE_BYTES;
    const own = ledger.held(shard) + block + SLOT_CHUNK_BYTES + INDEX_CHUNK_BYTES;
    let total = Math.max(own, ledger.guarantee);
    for (let i = 0; i < stores.length; i++) {
      if (i !== shard) total += Math.max(ledger.held(i), ledger.guarantee);
    }
    return total <= ledger.ceiling * (1 - MARGIN_SHARE) - ledger.unit;
  }

  /** As documented: each other shard counts as one entry at the least, and with what has expired and is still there. */
  private hasPlace(shard: number, isKnown: boolean): boolean {
    let total = this.orders[shard].size + (isKnown ? 0 : 1);
    if (total <= 1) return true;
    for (const [i, store] of this.segments.stores.entries()) {
      if (i !== shard) total += Math.max(store.entries, 1);
    }
    return total <= this.capacity;
  }

  private coldKey(shard: number): string {
    const [key] = this.orders[shard].keys();
    return key ?? '';
  }

  private checkEntry(shard: number, key: string): void {
    const store = this.segments.stores[shard];
    const slot = store.peek(key);
    assert(slot !== NO_SLOT, `${key} is there`);
    assert(store.valueView(slot).equals(this.orders[shard].get(key)!.value), `${key} has its value`);
  }

  private checkAll(): void {
    for (const [shard, store] of this.segments.stores.entries()) {
      for (const key of this.orders[shard].keys()) this.checkEntry(shard, key);
      assert(store.entries >= this.orders[shard].size, 'expired ones may still be there, and no others');
      store.checkIntegrity();
    }
  }

  /** The whole order, from its cold end. */
  private takeOut(): void {
    for (const [shard, store] of this.segments.stores.entries()) {
      while (store.entries > 0) this.displacedBy(shard, () => store.evict(1, 'evicted'));
      assert(this.orders[shard].size === 0, 'nothing is missing at the end');
    }
  }
}

function removed({ counters }: SegmentStore): number {
  return counters.evicted + counters.shed;
}

describe('each shard evicts in strict order of use, and nothing while there is room', () => {
  const seed = printedSeed('eviction order');

  test.each(SETUPS)('%o', (setup) => {
    const order = new OrderOfUse(setup, new Random(seed));
    order.run(OPERATIONS);
    expect(order.evicted).toBeGreaterThan(OPERATIONS / 10);
  });
});

describe('the order of use catches', () => {
  afterEach(() => vi.restoreAllMocks());

  test('a get that forgets to be a use', () => {
    vi.spyOn(LruList.prototype, 'touch').mockImplementation(() => undefined);
    expect(() => new OrderOfUse(SETUPS[0], new Random(1)).run(OPERATIONS)).toThrow(/is (there|gone)/);
  });

  test('an entry that goes while a colder one stays', () => {
    const gather = originalOf(Victims.prototype, 'gather');
    vi.spyOn(Victims.prototype, 'gather').mockImplementation(function skipping(this: Victims, wantedBytes) {
      const count = gather.call(this, wantedBytes);
      if (count < 2) return count;
      [this.slots[0], this.hashes[0]] = [this.slots[count - 1], this.hashes[count - 1]];
      return count - 1;
    });
    expect(() => new OrderOfUse(SETUPS[2], new Random(1)).run(OPERATIONS)).toThrow(/is (there|gone)/);
  });

  test('dead bytes made long before the ceiling is near', () => {
    vi.spyOn(Ledger.prototype, 'isTight').mockImplementation(function early(this: Ledger) {
      return this.totalHeld() > this.ceiling * 0.8;
    });
    expect(() => new OrderOfUse(SETUPS[1], new Random(1)).run(OPERATIONS)).toThrow(/though there was room/);
  });

  test('a place that is refused for more than the others are promised', () => {
    const tryReserve = originalOf(Ledger.prototype, 'tryReserve');
    vi.spyOn(Ledger.prototype, 'tryReserve').mockImplementation(function mean(this: Ledger, shard, amount) {
      const isFull = amount === 1 && this.totalHeld() >= this.ceiling - 1;
      return !isFull && tryReserve.call(this, shard, amount);
    });
    expect(() => new OrderOfUse(SETUPS[3], new Random(1)).run(OPERATIONS)).toThrow(
      /though there was room|every shard may hold one entry/,
    );
  });
});
