import { assert } from '../../src/shared/assert.ts';
import { SLOT_BYTES, SLOT_CHUNK_BYTES } from '../../src/shared/segment-sizes.ts';
import { NO_ADDRESS } from './block-pool.ts';
import type { SegmentMemory } from './segment-memory.ts';

/**
 * The fixed-size part of every entry: four words side by side, so that all of a slot is in one cache line. Slots live in
 * chunks that never move or double.
 *
 *     slot    ┌─────────┬──────┬──────┬───────┐
 *             │ address │ prev │ next │ chain │   4 × u32 = 16 bytes
 *             └─────────┴──────┴──────┴───────┘
 *
 * `prev` and `next` belong to the LRU list, `chain` to the hash index. A free slot has no address, and its `chain` links
 * the free slots of its chunk. The lowest chunk with room is used first, so that the last one empties.
 * Slot 0 is never an entry: it is the head of the LRU list and the end of every chain.
 */
export const NO_SLOT = 0;

const CHUNK_SLOTS = SLOT_CHUNK_BYTES / SLOT_BYTES;
const CHUNK_BITS = Math.log2(CHUNK_SLOTS);
const CHUNK_MASK = CHUNK_SLOTS - 1;
const MAX_CHUNKS = 2 ** (32 - CHUNK_BITS);

const ADDRESS = 0;
const PREV = 1;
const NEXT = 2;
const CHAIN = 3;

export class SlotTable {
  reservedBytes = 0;
  /** Slots that hold an entry. */
  used = 0;

  private readonly chunks: Uint32Array<ArrayBuffer>[] = [];
  /** Per chunk: the head of its free slots, the count of its used slots, and its first slot that was never used. */
  private readonly firstFree: number[] = [];
  private readonly usedIn: number[] = [];
  private readonly fresh: number[] = [];
  /** No chunk below this one has a free slot. */
  private roomFrom = 0;
  /** In the last chunk, no slot from this place on is in use. */
  private unusedFrom = CHUNK_SLOTS;
  private readonly memory: SegmentMemory;

  constructor(memory: SegmentMemory) {
    this.memory = memory;
    assert(this.addChunk(), 'the guarantee covers the first chunk of slots');
  }

  /** @returns a slot of the lowest chunk with room, or NO_SLOT when the ledger refuses a new chunk. */
  take(): number {
    while (this.roomFrom < this.chunks.length && this.usedIn[this.roomFrom] === CHUNK_SLOTS) this.roomFrom++;
    const chunk = this.roomFrom;
    if (chunk === this.chunks.length && !this.addChunk()) return NO_SLOT;
    let slot = this.firstFree[chunk];
    if (slot === NO_SLOT) slot = (chunk << CHUNK_BITS) + this.fresh[chunk]++;
    else this.firstFree[chunk] = this.chain(slot);
    this.usedIn[chunk]++;
    this.used++;
    if (chunk === this.chunks.length - 1) this.unusedFrom = CHUNK_SLOTS;
    return slot;
  }

  give(slot: number): void {
    const chunk = slot >>> CHUNK_BITS;
    this.setChain(slot, this.firstFree[chunk]);
    this.setAddress(slot, NO_ADDRESS);
    this.firstFree[chunk] = slot;
    this.usedIn[chunk]--;
    this.used--;
    if (chunk < this.roomFrom) this.roomFrom = chunk;
  }

  /** No slot has a number as large as this. */
  get capacity(): number {
    return this.chunks.length << CHUNK_BITS;
  }

  /** Forgets every slot and gives back all chunks but the first. */
  clear(): void {
    while (this.chunks.length > 1) this.memory.giveBackLater(this.popChunk(), SLOT_CHUNK_BYTES);
    this.chunks[0].fill(0);
    this.firstFree[0] = NO_SLOT;
    this.usedIn[0] = 1;
    this.fresh[0] = 1;
    this.roomFrom = 0;
    this.used = 0;
  }

  /** True when a chunk and a half of slots are free: then it pays to empty the last chunk and give it back. */
  get isSparse(): boolean {
    const slots = this.chunks.length << CHUNK_BITS;
    return this.chunks.length > 1 && slots - this.used > CHUNK_SLOTS + CHUNK_SLOTS / 2;
  }

  /** The last slot in use of the last chunk, or NO_SLOT when that chunk is empty. */
  lastUsedSlot(): number {
    const chunk = this.chunks.length - 1;
    if (this.usedIn[chunk] === 0) return NO_SLOT;
    const start = chunk << CHUNK_BITS;
    let place = Math.min(this.unusedFrom, this.fresh[chunk]);
    while (this.address(start + place - 1) === NO_ADDRESS) place--;
    this.unusedFrom = place;
    return start + place - 1;
  }

  /** Gives back the last chunk, which must be empty. */
  dropLastChunk(): void {
    assert(this.usedIn.at(-1) === 0 && this.chunks.length > 1, 'a chunk that is dropped is empty');
    this.memory.giveBack(this.popChunk(), SLOT_CHUNK_BYTES);
    if (this.roomFrom > this.chunks.length) this.roomFrom = this.chunks.length;
  }

  address(slot: number): number {
    return this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + ADDRESS];
  }

  setAddress(slot: number, address: number): void {
    this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + ADDRESS] = address;
  }

  chain(slot: number): number {
    return this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + CHAIN];
  }

  setChain(slot: number, chain: number): void {
    this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + CHAIN] = chain;
  }

  prev(slot: number): number {
    return this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + PREV];
  }

  setPrev(slot: number, prev: number): void {
    this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + PREV] = prev;
  }

  next(slot: number): number {
    return this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + NEXT];
  }

  setNext(slot: number, next: number): void {
    this.chunks[slot >>> CHUNK_BITS][((slot & CHUNK_MASK) << 2) + NEXT] = next;
  }

  private addChunk(): boolean {
    if (this.chunks.length === MAX_CHUNKS) return false;
    if (!this.memory.tryReserve(SLOT_CHUNK_BYTES)) return false;
    const isFirst = this.chunks.length === 0;
    this.chunks.push(new Uint32Array(CHUNK_SLOTS * 4));
    this.unusedFrom = CHUNK_SLOTS;
    this.firstFree.push(NO_SLOT);
    // Slot 0, the list's head, is taken from the start.
    this.usedIn.push(isFirst ? 1 : 0);
    this.fresh.push(isFirst ? 1 : 0);
    this.reservedBytes += SLOT_CHUNK_BYTES;
    return true;
  }

  private popChunk(): ArrayBuffer {
    const chunk = this.chunks.pop()!;
    this.unusedFrom = CHUNK_SLOTS;
    this.firstFree.pop();
    this.usedIn.pop();
    this.fresh.pop();
    this.reservedBytes -= SLOT_CHUNK_BYTES;
    return chunk.buffer;
  }
}
