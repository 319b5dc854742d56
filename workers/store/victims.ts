import type { EntryCodec } from './entry-codec.ts';
import type { HashIndex } from './hash-index.ts';
import type { LruList } from './lru-list.ts';
import { NO_SLOT, type SlotTable } from './slot-table.ts';

const MAX_BATCH = 32;

/**
 * Chooses what to evict: the least recently used entries, a batch at a time, the oldest use first. The memory that the
 * removal of an entry touches lies scattered, so each removal would wait for it several times. Reading it for the whole
 * batch beforehand lets the processor do many of those reads at once: see `ReadAhead`.
 */
export class Victims {
  readonly slots = new Uint32Array(MAX_BATCH);
  /** The hashes of their keys, in the same order. */
  readonly hashes = new Uint32Array(MAX_BATCH);
  /** Stored so that the reads are not optimised away. */
  protected lastRead = 0;
  private readonly codec: EntryCodec;
  private readonly table: SlotTable;
  private readonly list: LruList;
  private readonly index: HashIndex;
  private readonly hashOfSlot: (slot: number) => number;

  constructor(
    codec: EntryCodec,
    table: SlotTable,
    list: LruList,
    index: HashIndex,
    hashOfSlot: (slot: number) => number,
  ) {
    this.codec = codec;
    this.table = table;
    this.list = list;
    this.index = index;
    this.hashOfSlot = hashOfSlot;
  }

  /**
   * Fills `slots` and `hashes` until the entries take `wantedBytes`, or the batch is full.
   * @returns how many there are.
   */
  gather(wantedBytes: number): number {
    const { table, codec, index, slots, hashes } = this;
    let count = 0;
    let bytes = 0;
    for (
      let slot = this.list.leastRecent;
      slot !== NO_SLOT && count < MAX_BATCH && bytes < wantedBytes;
      slot = table.prev(slot)
    ) {
      slots[count++] = slot;
      bytes += codec.bytes(slot);
    }
    let read = 0;
    for (let i = 0; i < count; i++) hashes[i] = this.hashOfSlot(slots[i]);
    for (let i = 0; i < count; i++) read ^= index.head(index.bucketOf(hashes[i]));
    for (let i = 0; i < count; i++) read ^= table.chain(index.head(index.bucketOf(hashes[i])));
    this.lastRead = read;
    return count;
  }
}
