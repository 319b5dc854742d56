import { assert } from '../../src/shared/assert.ts';
import { type BlockPool, blockOf, wordOf } from './block-pool.ts';
import type { HashIndex } from './hash-index.ts';
import { NO_SLOT, type SlotTable } from './slot-table.ts';

/** Size of a group. */
export const AHEAD_KEYS = 32;

/**
 * Reads the memory that the lookups of a group of keys are going to touch. One lookup waits for memory several times:
 * for index, slot and block. Done step by step for all keys, the processor has many of those reads under way at once.
 *
 * Source: Chen, Ailamaki, Gibbons and Mowry, "Improving hash join performance through prefetching" (2004), the group
 * prefetching there.
 */
export class ReadAhead {
  private readonly hashes = new Uint32Array(AHEAD_KEYS);
  private readonly slotsOf = new Uint32Array(AHEAD_KEYS);
  private readonly addresses = new Uint32Array(AHEAD_KEYS);
  private count = 0;
  /** Stored so that the reads are not optimised away. */
  protected lastRead = 0;
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private readonly index: HashIndex;

  constructor(blocks: BlockPool, slots: SlotTable, index: HashIndex) {
    this.blocks = blocks;
    this.slots = slots;
    this.index = index;
  }

  /** Adds a key's hash to the group, at most `AHEAD_KEYS` of them. */
  add(hash: number): void {
    assert(this.count < AHEAD_KEYS, 'a group has room for its keys');
    this.hashes[this.count++] = hash;
  }

  /** Reads where the entry of a hash is about to be inserted. */
  readHead(hash: number): void {
    this.lastRead ^= this.index.head(this.index.bucketOf(hash));
  }

  /** Reads for the group, and begins a new one. Of each bucket's chain only the first entry is read. */
  run(): void {
    const { blocks, slots, index, count, hashes, slotsOf, addresses } = this;
    this.count = 0;
    let read = 0;
    for (let i = 0; i < count; i++) slotsOf[i] = index.head(index.bucketOf(hashes[i]));
    for (let i = 0; i < count; i++) addresses[i] = slots.address(slotsOf[i]);
    for (let i = 0; i < count; i++) {
      const slot = slotsOf[i];
      if (slot === NO_SLOT) continue;
      const address = addresses[i];
      read ^= blocks.words[blockOf(address)][wordOf(address)];
      // A hit moves to the front of the LRU list, which writes to its neighbours' slots.
      read ^= slots.address(slots.prev(slot)) ^ slots.address(slots.next(slot));
    }
    this.lastRead = read;
  }
}
