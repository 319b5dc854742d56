import { isDeepStrictEqual } from 'node:util';
import { type Arbitrary, constant, constantFrom, integer, oneof, record, tuple } from 'fast-check';
import { assert } from '../../../src/shared/assert.ts';
import type { Ledger } from '../../../src/shared/ledger.ts';
import {
  BLOCK_CHARGE_BYTES,
  OWN_BLOCK_BYTES,
  SLOT_BYTES,
  blockChargeBytes,
} from '../../../src/shared/segment-sizes.ts';
import { ShedOrder } from '../../../workers/shed-order.ts';
import { entryFlags } from '../../../workers/store/entry-codec.ts';
import { EXPIRES, GZIP, TEXTS, VERSION, entryBytes } from '../../../workers/store/entry-layout.ts';
import { type Metadata, NO_METADATA, textOf } from '../../../workers/store/metadata.ts';
import type { SegmentStore } from '../../../workers/store/segment-store.ts';
import { ReferenceLru } from '../../support/reference-lru.ts';
import { type Clock, carryOut } from '../../support/segments.ts';

export type Operation =
  | {
      readonly kind: 'put';
      readonly key: number;
      readonly bytes: number;
      readonly ttlMs: number;
      readonly metadata: Metadata | undefined;
    }
  | { readonly kind: 'get' | 'delete' | 'plain'; readonly key: number }
  | { readonly kind: 'gzip'; readonly key: number; readonly bytes: number }
  | { readonly kind: 'clear' }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'shed' | 'clean' | 'maintain'; readonly bytes: number };

const KEYS = 64;
const FILLER = 'Pack my box with five dozen liquor jugs. '.repeat(16_000);

const key = integer({ min: 0, max: KEYS - 1 });
/** Small ones, ones of which a dozen fill a block, and ones with a block of their own. */
const valueBytes = oneof(
  { weight: 8, arbitrary: integer({ min: 0, max: 200 }) },
  { weight: 8, arbitrary: integer({ min: 10_000, max: OWN_BLOCK_BYTES - 100 }) },
  { weight: 2, arbitrary: integer({ min: OWN_BLOCK_BYTES - 40, max: 250_000 }) },
);
const ttlMs = oneof(
  { weight: 3, arbitrary: constant(0) },
  { weight: 1, arbitrary: integer({ min: 1, max: 1000 }) },
);
const text = oneof(
  { weight: 3, arbitrary: constant('') },
  { weight: 3, arbitrary: constantFrom('text/plain', 'gzip', '"tag" \xe9') },
  { weight: 1, arbitrary: integer({ min: 0, max: 255 }).map((length) => FILLER.slice(1, 1 + length)) },
);
const metadata = oneof(
  { weight: 3, arbitrary: constant(undefined) },
  {
    weight: 1,
    arbitrary: record(
      {
        contentType: text,
        contentEncoding: text,
        headers: tuple(text, text),
        version: oneof(constant(0), integer({ min: 1, max: 2 ** 32 - 1 })),
      },
      { noNullPrototype: true },
    ),
  },
);
const budget = constantFrom(8, 4096, 2 ** 15, 2 ** 20);

export const operation: Arbitrary<Operation> = oneof(
  {
    weight: 30,
    arbitrary: record({ kind: constant('put'), key, bytes: valueBytes, ttlMs, metadata } as const),
  },
  { weight: 20, arbitrary: record({ kind: constantFrom('get', 'delete'), key } as const) },
  { weight: 4, arbitrary: record({ kind: constant('plain'), key } as const) },
  { weight: 8, arbitrary: record({ kind: constant('gzip'), key, bytes: valueBytes } as const) },
  {
    weight: 5,
    arbitrary: record({ kind: constant('advance'), ms: integer({ min: 1, max: 300 }) } as const),
  },
  {
    weight: 12,
    arbitrary: record({ kind: constantFrom('clean', 'maintain'), bytes: budget } as const),
  },
  {
    weight: 2,
    arbitrary: record({
      kind: constant('shed'),
      bytes: integer({ min: 1, max: 500_000 }),
    } as const),
  },
  { weight: 1, arbitrary: record({ kind: constant('clear') } as const) },
);

/**
 * Drives a segment and the reference side by side, and compares them after each operation. The reference
 * knows no bytes: it is told which entries the ceiling displaced, after it was seen that they were exactly
 * the least recently used. What has expired may be gone from the segment or not; it is never to be seen.
 */
export class SegmentModel {
  private readonly store: SegmentStore;
  private readonly clock: Clock;
  private readonly ledger: Ledger;
  private readonly capacity: number;
  private readonly reference: ReferenceLru;
  private readonly gzips = new Map<string, string>();
  private readonly plains = new Set<string>();
  private puts = 0;

  constructor(subject: { store: SegmentStore; clock: Clock; ledger: Ledger }, capacity: number) {
    this.store = subject.store;
    this.clock = subject.clock;
    this.ledger = subject.ledger;
    this.capacity = capacity;
    this.reference = new ReferenceLru(subject.clock.now);
  }

  run(op: Operation): void {
    this.perform(op);
    const { store, reference, ledger } = this;
    reference.removeExpired();
    assert(store.entries >= reference.entries, 'no entry is missing');
    assert(store.entries <= this.capacity, 'the capacity is kept');
    assert(ledger.totalHeld() <= ledger.ceiling, 'the ceiling is kept');
    assert(store.counters.hits === reference.counters.hits, 'hits are counted');
    assert(store.counters.misses === reference.counters.misses, 'misses are counted');
    store.checkIntegrity();
  }

  /** Compares all that is there, and takes it out in the order in which it is to go. */
  finish(): void {
    const { store, reference } = this;
    for (const name of reference.keys) this.checkEntry(name, store.peek(name));
    for (const name of reference.keys) {
      const shedBefore = store.counters.shed;
      while (store.counters.shed === shedBefore) assert(store.evict(1, 'shed') > 0, 'there is one');
      assert(store.peek(name) === 0, `${name} is the next to go`);
    }
    while (store.evict(1, 'shed') > 0);
    assert(store.entries === 0, 'nothing else is there');
    store.checkIntegrity();
  }

  private perform(op: Operation): void {
    const { store, reference } = this;
    switch (op.kind) {
      case 'put':
        this.put(op);
        break;
      case 'get': {
        const name = `key-${op.key}`;
        assert(store.get(name) === reference.get(name), `${name} has its value`);
        break;
      }
      case 'delete': {
        const name = `key-${op.key}`;
        assert(store.delete(name) === reference.delete(name), `${name} is deleted if it was there`);
        break;
      }
      case 'gzip':
        this.attachGzip(`key-${op.key}`, op.bytes);
        break;
      case 'plain': {
        const slot = store.peek(`key-${op.key}`);
        if (slot === 0) break;
        store.markPlain(slot);
        this.plains.add(`key-${op.key}`);
        break;
      }
      case 'clear':
        assert(store.clear() >= reference.clear(), 'all were cleared');
        assert(store.entries === 0, 'none is left');
        break;
      case 'advance':
        this.clock.ms += op.ms;
        break;
      case 'shed':
        this.shed(op.bytes);
        break;
      case 'clean':
        store.clean(op.bytes);
        break;
      case 'maintain':
        store.maintain(op.bytes);
        break;
    }
  }

  private put(op: Extract<Operation, { readonly kind: 'put' }>): void {
    const { store, reference } = this;
    const { bytes } = op;
    const name = `key-${op.key}`;
    const start = this.puts++ % 997;
    const value = FILLER.slice(start, start + bytes);
    reference.removeExpired();
    const contentBytes = name.length + bytes + textOf(op.metadata ?? NO_METADATA).length;
    const neededBytes = entryBytes(entryFlags(op.ttlMs > 0, op.metadata), contentBytes);
    const hadRoom = this.hasRoomFor(neededBytes) && reference.entries < this.capacity;
    const evictedBefore = store.counters.evicted;
    assert(store.put(name, value, op.ttlMs, op.metadata), 'a value in the guarantee is stored');
    reference.put(name, value, op.ttlMs, op.metadata);
    this.gzips.delete(name);
    this.plains.delete(name);
    const gone = this.forgetDisplaced();
    assert(store.counters.evicted - evictedBefore === gone, 'what was displaced is counted');
    assert(gone === 0 || !hadRoom, 'nothing is displaced while there is room');
    this.checkEntry(name, store.peek(name));
  }

  private hasRoomFor(bytes: number): boolean {
    const { ledger } = this;
    const charge = bytes >= OWN_BLOCK_BYTES ? blockChargeBytes(bytes) : BLOCK_CHARGE_BYTES;
    // Within a sixteenth of the ceiling, room is made ahead of need.
    return ledger.totalHeld() + charge <= ledger.ceiling * (15 / 16) - ledger.unit;
  }

  private shed(orderedBytes: number): void {
    const { store, reference } = this;
    const heldBefore = this.heldBytes();
    const reservedBefore = store.reservedBytes;
    const shedBefore = store.counters.shed;
    const result = carryOut(new ShedOrder(store, orderedBytes));
    const gone = heldBefore - this.heldBytes();
    assert(gone >= orderedBytes || store.entries === 0, 'as much went as was ordered');
    assert(
      result.releasedBytes === Math.max(0, reservedBefore - store.reservedBytes),
      'released is measured',
    );
    assert(this.forgetDisplaced() === store.counters.shed - shedBefore, 'what was shed is counted');
    assert(store.entries > 0 || reference.entries === 0, 'none went that should stay');
  }

  /** Bytes of the entries in their blocks, and of what was cleared and has not gone. */
  private heldBytes(): number {
    const { liveBytes, entries, leftoverBytes } = this.store;
    return liveBytes - entries * SLOT_BYTES + leftoverBytes;
  }

  private attachGzip(name: string, bytes: number): void {
    const { store } = this;
    const slot = store.peek(name);
    if (slot === 0) return;
    const start = bytes % 89;
    const gzip = FILLER.slice(start, start + bytes);
    const evictedBefore = store.counters.evicted;
    const contentBytes = name.length + store.valueBytes(slot) + textOf(store.metadata(slot)).length;
    const hadRoom = this.hasRoomFor(entryBytes(EXPIRES | GZIP | TEXTS | VERSION, contentBytes + bytes));
    store.attachGzip(slot, Buffer.from(gzip, 'latin1'));
    assert(store.peek(name) === slot, 'a gzip form does not displace its own entry');
    const gone = this.forgetDisplaced();
    assert(store.counters.evicted - evictedBefore === gone, 'what a gzip form displaced is counted');
    assert(gone === 0 || !hadRoom, 'a gzip form displaces nothing while there is room');
    assert(store.isPlain(store.peek(name)) === this.plains.has(name), `${name} is as plain as before`);
    this.checkMetadata(name, slot);
    const kept = store.gzipView(store.peek(name))?.toString('latin1');
    assert(kept === undefined || kept === gzip || kept === this.gzips.get(name), 'the gzip form is its own');
    if (kept === undefined) this.gzips.delete(name);
    else this.gzips.set(name, kept);
  }

  /** Tells the reference what is gone. @returns how many, of those that had not expired. */
  private forgetDisplaced(): number {
    const { store, reference } = this;
    reference.removeExpired();
    const { keys } = reference;
    const gone = keys.findIndex((name) => store.peek(name) !== 0);
    const count = gone < 0 ? keys.length : gone;
    for (const name of keys.slice(count)) assert(store.peek(name) !== 0, `${name} went before its turn`);
    for (let i = 0; i < count; i++) reference.removeLeastRecent('evicted');
    return count;
  }

  private checkEntry(name: string, slot: number): void {
    assert(slot !== 0, `${name} is there`);
    assert(this.store.value(slot) === this.reference.peek(name), `${name} has its value`);
    this.checkMetadata(name, slot);
    assert(
      this.store.gzipView(slot)?.toString('latin1') === this.gzips.get(name),
      `${name} has its gzip form`,
    );
    assert(this.store.isPlain(slot) === this.plains.has(name), `${name} is plain if it was marked so`);
  }

  private checkMetadata(name: string, slot: number): void {
    const kept = this.store.metadata(slot);
    assert(isDeepStrictEqual(kept, this.reference.metadata(name)), `${name} has its metadata`);
  }
}
