import { assert } from '../../src/shared/assert.ts';
import { INDEX_CHUNK_BYTES } from '../../src/shared/segment-sizes.ts';
import type { SegmentMemory } from './segment-memory.ts';
import { NO_SLOT, type SlotTable } from './slot-table.ts';

/**
 * Finds the slot of a key hash, by linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing",
 * 1980). A bucket is the head of a chain through the slots' `chain`. The table grows and shrinks by one bucket at a time. No
 * operation pays for more than one bucket, there is never a second table, and deleting leaves nothing behind.
 *
 *     heads   ├── split: 2^level + split buckets use level+1 bits ──┤── not yet: level bits ──┤
 *             0                                                  split                     2^level
 */
const ENTRIES_PER_BUCKET = 1.5;

const CHUNK_HEADS = INDEX_CHUNK_BYTES / 4;
const CHUNK_BITS = Math.log2(CHUNK_HEADS);
const CHUNK_MASK = CHUNK_HEADS - 1;
const FIRST_BUCKETS = 16;
const MAX_GROWN_AHEAD = 32;

export class HashIndex {
  reservedBytes = 0;

  private readonly chunks: Uint32Array<ArrayBuffer>[] = [];
  private buckets = FIRST_BUCKETS;
  /** All bits that a bucket number may have: 2^(level+1) - 1. */
  private mask = FIRST_BUCKETS * 2 - 1;
  private readonly slots: SlotTable;
  private readonly hashOfSlot: (slot: number) => number;
  private readonly memory: SegmentMemory;

  /** @param hashOfSlot computes the hash of the entry in a slot, since hashes are not kept. */
  constructor(slots: SlotTable, hashOfSlot: (slot: number) => number, memory: SegmentMemory) {
    this.slots = slots;
    this.hashOfSlot = hashOfSlot;
    this.memory = memory;
    assert(this.addChunk(), 'the guarantee covers the first chunk of the index');
  }

  get bucketCount(): number {
    return this.buckets;
  }

  bucketOf(hash: number): number {
    const bucket = (hash & this.mask) >>> 0;
    return bucket < this.buckets ? bucket : bucket & (this.mask >>> 1);
  }

  /** The bits that the hashes of one bucket have in common. */
  maskOf(bucket: number): number {
    const half = this.mask >>> 1;
    return bucket > half || bucket + half + 1 < this.buckets ? this.mask : half;
  }

  /** First slot of the bucket's chain. The rest follow by `slots.chain`, and NO_SLOT ends it. */
  head(bucket: number): number {
    return this.chunks[bucket >>> CHUNK_BITS][bucket & CHUNK_MASK];
  }

  insert(hash: number, slot: number): void {
    const bucket = this.bucketOf(hash);
    this.slots.setChain(slot, this.head(bucket));
    this.setHead(bucket, slot);
    if (this.slots.used > this.buckets * ENTRIES_PER_BUCKET) this.grow();
  }

  /**
   * Grows for entries that are to come, a few buckets at a time. While there are few entries that is quick: to split a full
   * bucket, each key in it has to be hashed.
   */
  growFor(entries: number): void {
    const wanted = Math.min(entries / ENTRIES_PER_BUCKET, this.buckets + MAX_GROWN_AHEAD);
    while (this.buckets < wanted && this.grow());
  }

  remove(hash: number, slot: number): void {
    this.relink(hash, slot, this.slots.chain(slot));
    // The table shrinks later than it grows, or a key that is put and deleted in turn would move it each time.
    if (this.buckets > FIRST_BUCKETS && this.slots.used < this.buckets * (ENTRIES_PER_BUCKET / 2))
      this.shrink();
  }

  /** Puts `slot` in the place of `from`; the caller has copied the slot's words already. */
  replace(hash: number, from: number, slot: number): void {
    this.relink(hash, from, slot);
  }

  clear(): void {
    while (this.chunks.length > 1) this.memory.giveBackLater(this.popChunk(), INDEX_CHUNK_BYTES);
    this.chunks[0].fill(NO_SLOT);
    this.buckets = FIRST_BUCKETS;
    this.mask = FIRST_BUCKETS * 2 - 1;
  }

  private relink(hash: number, from: number, to: number): void {
    const { slots } = this;
    const bucket = this.bucketOf(hash);
    let at = this.head(bucket);
    if (at === from) {
      this.setHead(bucket, to);
      return;
    }
    while (at !== NO_SLOT) {
      const next = slots.chain(at);
      if (next === from) {
        slots.setChain(at, to);
        return;
      }
      at = next;
    }
    assert(false, 'an entry in a slot is in the chain of its bucket');
  }

  /** Splits one bucket in two. If the ledger refuses a chunk, chains grow longer instead. @returns whether it did. */
  private grow(): boolean {
    const bucket = this.buckets;
    if (bucket >>> CHUNK_BITS === this.chunks.length && !this.addChunk()) return false;
    const { slots } = this;
    const bit = (this.mask + 1) >>> 1;
    const from = bucket & (bit - 1);
    let stay = NO_SLOT;
    let move = NO_SLOT;
    for (let slot = this.head(from); slot !== NO_SLOT;) {
      const next = slots.chain(slot);
      if ((this.hashOfSlot(slot) & bit) !== 0) {
        slots.setChain(slot, move);
        move = slot;
      } else {
        slots.setChain(slot, stay);
        stay = slot;
      }
      slot = next;
    }
    this.setHead(from, stay);
    this.setHead(bucket, move);
    this.buckets++;
    if (this.buckets > this.mask) this.mask = this.mask * 2 + 1;
    return true;
  }

  /** Joins the last bucket to the one it was split from. */
  private shrink(): void {
    const { slots } = this;
    if (this.buckets === (this.mask + 1) >>> 1) this.mask >>>= 1;
    const bucket = this.buckets - 1;
    const bit = (this.mask + 1) >>> 1;
    const into = bucket & (bit - 1);
    let slot = this.head(bucket);
    while (slot !== NO_SLOT) {
      const next = slots.chain(slot);
      slots.setChain(slot, this.head(into));
      this.setHead(into, slot);
      slot = next;
    }
    this.setHead(bucket, NO_SLOT);
    this.buckets = bucket;
    const spareHeads = (this.chunks.length - 1) * CHUNK_HEADS - bucket;
    if (this.chunks.length > 1 && spareHeads >= CHUNK_HEADS / 2) {
      this.memory.giveBack(this.popChunk(), INDEX_CHUNK_BYTES);
    }
  }

  private setHead(bucket: number, slot: number): void {
    this.chunks[bucket >>> CHUNK_BITS][bucket & CHUNK_MASK] = slot;
  }

  private addChunk(): boolean {
    if (!this.memory.tryReserve(INDEX_CHUNK_BYTES)) return false;
    this.chunks.push(new Uint32Array(CHUNK_HEADS));
    this.reservedBytes += INDEX_CHUNK_BYTES;
    return true;
  }

  private popChunk(): ArrayBuffer {
    const chunk = this.chunks.pop()!;
    this.reservedBytes -= INDEX_CHUNK_BYTES;
    return chunk.buffer;
  }
}
