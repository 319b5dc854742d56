import { isDeepStrictEqual } from 'node:util';
import {
  type Arbitrary,
  array,
  boolean,
  constant,
  constantFrom,
  integer,
  oneof,
  record,
  tuple,
} from 'fast-check';
import { assert } from '../../../src/shared/assert.ts';
import type { Ledger } from '../../../src/shared/ledger.ts';
import {
  BLOCK_CHARGE_BYTES,
  OWN_BLOCK_BYTES,
  SLOT_BYTES,
  blockChargeBytes,
  maxEntryBytes,
} from '../../../src/shared/segment-sizes.ts';
import { ShedOrder } from '../../../workers/shed-order.ts';
import { entryFlags } from '../../../workers/store/entry-codec.ts';
import { EXPIRES, GZIP, TEXTS, entryBytes } from '../../../workers/store/entry-layout.ts';
import { type Metadata, NO_METADATA, textOf } from '../../../workers/store/metadata.ts';
import type { Chain, SegmentStore } from '../../../workers/store/segment-store.ts';
import { ReferenceLru } from '../../support/reference-lru.ts';
import { type Clock, addPiece, carryOut, chainText } from '../../support/segments.ts';

export type Operation =
  | {
      readonly kind: 'put';
      readonly key: number;
      readonly bytes: number;
      readonly ttlMs: number;
      readonly metadata: Metadata | undefined;
    }
  | {
      readonly kind: 'upload';
      readonly key: number;
      readonly pieces: readonly number[];
      readonly ttlMs: number;
      readonly metadata: Metadata;
      /** Whether it is stored now or stays under way until a `settle`. */
      readonly isStored: boolean;
    }
  | { readonly kind: 'get' | 'delete' | 'plain' | 'read'; readonly key: number }
  | { readonly kind: 'settle'; readonly isStored: boolean }
  | { readonly kind: 'gzip'; readonly key: number; readonly bytes: number; readonly isOfValue: boolean }
  | { readonly kind: 'clear' }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'shed' | 'clean' | 'maintain'; readonly bytes: number };

type Upload = Extract<Operation, { readonly kind: 'upload' }>;

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
const givenMetadata = record(
  {
    contentType: text,
    contentEncoding: text,
    headers: tuple(text, text),
    tag: constantFrom('', '0123456789abcdef', 'fedcba9876543210'),
    isText: boolean(),
  },
  { noNullPrototype: true },
);
const metadata = oneof(
  { weight: 3, arbitrary: constant(undefined) },
  { weight: 1, arbitrary: givenMetadata },
);
const pieces = array(integer({ min: 1, max: 200_000 }), { maxLength: 6 });
const budget = constantFrom(8, 4096, 2 ** 15, 2 ** 20);

export const operation: Arbitrary<Operation> = oneof(
  {
    weight: 30,
    arbitrary: record({ kind: constant('put'), key, bytes: valueBytes, ttlMs, metadata } as const),
  },
  { weight: 20, arbitrary: record({ kind: constantFrom('get', 'delete'), key } as const) },
  { weight: 4, arbitrary: record({ kind: constant('plain'), key } as const) },
  {
    weight: 8,
    arbitrary: record({ kind: constant('gzip'), key, bytes: valueBytes, isOfValue: boolean() } as const),
  },
  {
    weight: 8,
    arbitrary: record({
      kind: constant('upload'),
      key,
      pieces,
      ttlMs,
      metadata: givenMetadata,
      isStored: boolean(),
    } as const),
  },
  { weight: 6, arbitrary: record({ kind: constant('read'), key } as const) },
  { weight: 4, arbitrary: record({ kind: constant('settle'), isStored: boolean() } as const) },
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
  private readonly gzips = new Map<string, { readonly text: string; readonly isOfValue: boolean }>();
  private readonly uploads: { readonly op: Upload; readonly chain: Chain; readonly value: string }[] = [];
  private readonly reads: { readonly chain: Chain; readonly value: string }[] = [];
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
    const underWay = new Set([...this.uploads, ...this.reads].filter(({ chain }) => !isDropped(chain)));
    this.perform(op);
    const { store, reference, ledger } = this;
    const isShort = store.entries <= 1;
    assert(
      isShort || ![...this.uploads, ...this.reads].some((one) => underWay.has(one) && isDropped(one.chain)),
      'what is under way goes only when nothing else can',
    );
    reference.removeExpired();
    assert(store.entries >= reference.entries, 'no entry is missing');
    assert(store.entries <= this.capacity, 'the capacity is kept');
    assert(ledger.totalHeld() <= ledger.ceiling, 'the ceiling is kept');
    assert(store.counters.hits === reference.counters.hits, 'hits are counted');
    assert(store.counters.misses === reference.counters.misses, 'misses are counted');
    store.checkIntegrity();
  }

  /** Whatever is under way ends. Compares all that is there, and takes it out in the order in which it is to go. */
  finish(): void {
    const { store, reference } = this;
    while (this.uploads.length + this.reads.length > 0) this.settle(false);
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
        const slot = store.access(name);
        assert(
          (slot === 0 ? undefined : this.valueOf(slot)) === reference.get(name),
          `${name} has its value`,
        );
        break;
      }
      case 'upload':
        this.upload(op);
        break;
      case 'read':
        this.read(`key-${op.key}`);
        break;
      case 'settle':
        this.settle(op.isStored);
        break;
      case 'delete': {
        const name = `key-${op.key}`;
        assert(store.delete(name) === reference.delete(name), `${name} is deleted if it was there`);
        break;
      }
      case 'gzip':
        this.attachGzip(`key-${op.key}`, op.bytes, op.isOfValue);
        break;
      case 'plain': {
        const slot = store.peek(`key-${op.key}`);
        if (slot === 0 || store.chainOf(slot)) break;
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

  /** A large value comes in pieces. What it displaces is displaced in small steps. */
  private upload(op: Upload): void {
    const { store } = this;
    const start = this.puts++ % 997;
    let value = '';
    const chain = store.largeValues.begin();
    for (const bytes of op.pieces) {
      const piece = FILLER.slice(start + value.length, start + value.length + bytes);
      const hadRoom = this.hasRoomFor(bytes);
      const evictedBefore = store.counters.evicted;
      const isAdded = addPiece(store, chain, piece);
      const gone = this.forgetDisplaced();
      assert(store.counters.evicted - evictedBefore === gone, 'what a piece displaced is counted');
      assert(gone === 0 || !hadRoom, 'a piece displaces nothing while there is room');
      if (!isAdded) {
        assert(store.entries === 0, 'a piece is refused only when nothing is left to displace');
        store.largeValues.drop(chain);
        return;
      }
      value += piece;
    }
    this.uploads.push({ op, chain, value });
    if (op.isStored) this.storeUpload(this.uploads.length - 1, true);
  }

  private storeUpload(place: number, isStored: boolean): void {
    const { store, reference } = this;
    const [{ op, chain, value }] = this.uploads.splice(place, 1);
    if (isDropped(chain) || !isStored) {
      store.largeValues.drop(chain);
      return;
    }
    const name = `key-${op.key}`;
    reference.removeExpired();
    const evictedBefore = store.counters.evicted;
    const isKept = store.putLarge(name, chain, op.ttlMs, op.metadata);
    reference.put(name, value, op.ttlMs, { ...op.metadata, isText: false });
    this.gzips.delete(name);
    this.plains.delete(name);
    if (!isKept) {
      assert(store.entries === 0 && isDropped(chain), 'it is refused only when nothing else is there');
      reference.delete(name);
    }
    assert(this.forgetDisplaced() === store.counters.evicted - evictedBefore, 'what is displaced is counted');
    if (isKept) this.checkEntry(name, store.peek(name));
  }

  private read(name: string): void {
    const slot = this.store.peek(name);
    const chain = slot === 0 ? undefined : this.store.chainOf(slot);
    if (!chain) return;
    this.store.largeValues.pin(chain);
    this.reads.push({ chain, value: this.valueOf(slot) });
  }

  /** Ends the oldest upload and the oldest read. */
  private settle(isStored: boolean): void {
    const [read] = this.reads.splice(0, 1);
    if (read && !isDropped(read.chain)) {
      assert(chainText(read.chain) === read.value, 'what is being read stays as it was');
    }
    if (read) this.store.largeValues.unpin(read.chain);
    if (this.uploads.length > 0) this.storeUpload(0, isStored);
  }

  private valueOf(slot: number): string {
    const chain = this.store.chainOf(slot);
    return chain ? chainText(chain) : this.store.value(slot);
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
    this.checkNotOverShed(result.shedBytes, orderedBytes);
    assert(this.forgetDisplaced() === store.counters.shed - shedBefore, 'what was shed is counted');
    assert(store.entries > 0 || reference.entries === 0, 'none went that should stay');
  }

  /** Without the last entry that went, it was less than was ordered. */
  private checkNotOverShed(shedBytes: number, orderedBytes: number): void {
    const { store, reference } = this;
    reference.removeExpired();
    const last = reference.keys.findLast((name) => store.peek(name) === 0);
    if (last === undefined) return;
    const lastBytes = reference.peek(last)!.length + (this.gzips.get(last)?.text.length ?? 0);
    assert(
      shedBytes - maxEntryBytes(256, lastBytes) < orderedBytes,
      'no more is shed than one entry too much',
    );
  }

  /** Bytes of the entries in their blocks, and of what was cleared and has not gone. */
  private heldBytes(): number {
    const { liveBytes, entries, leftoverBytes } = this.store;
    return liveBytes - entries * SLOT_BYTES + leftoverBytes;
  }

  private attachGzip(name: string, bytes: number, isOfValue: boolean): void {
    const { store } = this;
    const slot = store.peek(name);
    if (slot === 0 || store.chainOf(slot)) return;
    const start = bytes % 89;
    const gzip = FILLER.slice(start, start + bytes);
    const evictedBefore = store.counters.evicted;
    const contentBytes = name.length + store.valueBytes(slot) + textOf(store.metadata(slot)).length;
    const hadRoom = this.hasRoomFor(entryBytes(EXPIRES | GZIP | TEXTS, contentBytes + bytes));
    store.attachGzip(slot, Buffer.from(gzip, 'latin1'), isOfValue);
    assert(store.peek(name) === slot, 'a gzip form does not displace its own entry');
    const gone = this.forgetDisplaced();
    assert(store.counters.evicted - evictedBefore === gone, 'what a gzip form displaced is counted');
    assert(gone === 0 || !hadRoom, 'a gzip form displaces nothing while there is room');
    assert(store.isPlain(store.peek(name)) === this.plains.has(name), `${name} is as plain as before`);
    this.checkMetadata(name, slot);
    const kept = this.gzipOf(store.peek(name));
    const isNew = isDeepStrictEqual(kept, { text: gzip, isOfValue });
    assert(isNew || isDeepStrictEqual(kept, this.gzips.get(name)), 'the gzip form is its own');
    if (kept === undefined) this.gzips.delete(name);
    else this.gzips.set(name, kept);
  }

  private gzipOf(slot: number): { readonly text: string; readonly isOfValue: boolean } | undefined {
    for (const isOfValue of [false, true]) {
      const form = this.store.gzipView(slot, isOfValue)?.toString('latin1');
      if (form !== undefined) return { text: form, isOfValue };
    }
    return undefined;
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
    assert(this.valueOf(slot) === this.reference.peek(name), `${name} has its value`);
    this.checkMetadata(name, slot);
    assert(isDeepStrictEqual(this.gzipOf(slot), this.gzips.get(name)), `${name} has its gzip form`);
    assert(this.store.isPlain(slot) === this.plains.has(name), `${name} is plain if it was marked so`);
  }

  private checkMetadata(name: string, slot: number): void {
    const kept = this.store.metadata(slot);
    assert(isDeepStrictEqual(kept, this.reference.metadata(name)), `${name} has its metadata`);
  }
}

function isDropped({ state }: Chain): boolean {
  return state === 'dropped';
}
