import { type BlockPool, blockOf, wordOf } from './block-pool.ts';
import { entryBytesAt } from './entry-layout.ts';
import type { HashIndex } from './hash-index.ts';
import type { LruList } from './lru-list.ts';
import { NO_SLOT, type SlotTable } from './slot-table.ts';

/** So many entries at a time. */
const COLD_BATCH = 32;

/**
 * The least recently used entries, a batch at a time, coldest first. What an entry's removal touches lies all over
 * memory; read for all of them first, step by step, the processor has many of those reads under way at once: see
 * `ReadAhead`.
 */
export class Coldest {
  readonly batch = new Uint32Array(COLD_BATCH);
  readonly hashes = new Uint32Array(COLD_BATCH);
  /** Kept, so that reading is not optimised away. */
  protected lastRead = 0;
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private readonly list: LruList;
  private readonly index: HashIndex;
  private readonly hashOfSlot: (slot: number) => number;

  constructor(
    blocks: BlockPool,
    slots: SlotTable,
    list: LruList,
    index: HashIndex,
    hashOfSlot: (slot: number) => number,
  ) {
    this.blocks = blocks;
    this.slots = slots;
    this.list = list;
    this.index = index;
    this.hashOfSlot = hashOfSlot;
  }

  /**
   * Fills `batch` with slots and `hashes` with those of their keys, until the entries are `wantedBytes` in their blocks.
   * @returns how many.
   */
  gather(wantedBytes: number): number {
    const { slots, blocks, index, batch, hashes } = this;
    let count = 0;
    let bytes = 0;
    for (
      let slot = this.list.leastRecent;
      slot !== NO_SLOT && count < COLD_BATCH && bytes < wantedBytes;
      slot = slots.prev(slot)
    ) {
      batch[count++] = slot;
      const address = slots.address(slot);
      bytes += entryBytesAt(blocks.words[blockOf(address)], wordOf(address));
    }
    let read = 0;
    for (let i = 0; i < count; i++) hashes[i] = this.hashOfSlot(batch[i]);
    for (let i = 0; i < count; i++) read ^= index.head(index.bucketOf(hashes[i]));
    for (let i = 0; i < count; i++) read ^= slots.chain(index.head(index.bucketOf(hashes[i])));
    this.lastRead = read;
    return count;
  }
}
