import { BLOCK_BYTES, BLOCK_CHARGE_BYTES } from '../../src/shared/segment-sizes.ts';
import { type BlockPool, NO_ADDRESS, addressOf, blockOf, wordOf } from './block-pool.ts';
import { DEAD, entryBytesAt, flagsOf, setFlagAt } from './entry-layout.ts';
import type { SlotTable } from './slot-table.ts';

/** Above this share of dead bytes, cleaning is due. The promise is that live ÷ reserved is at least 0.85. */
const MAX_FRAGMENTED_SHARE = 0.1;
/** Up to this many bytes are no reason to clean: the rest of the open block, and the dead bytes of one block in all. */
const MIN_FRAGMENTED_BYTES = 1.5 * BLOCK_CHARGE_BYTES;
/**
 * Near the ceiling, PUTs evict until this share of the reserved bytes is dead, and cleaning begins only then. Cleaning an
 * average block then moves 92 bytes for each 8 that it gains. With a larger share fewer entries would be kept; with a
 * smaller one cleaning would take longer.
 */
const TIGHT_FRAGMENTED_SHARE = 0.08;
/**
 * A block with fewer dead bytes is not worth cleaning. The unused rest at its end does not count:
 * entries that do not fill this block would leave the same rest in the next one, and cleaning would never end.
 */
const MIN_DEAD_BYTES = BLOCK_BYTES / 64;
/** Bytes cleaned per byte that a PUT or DELETE changes: at 85 % live, one byte gained costs seven moved. */
const CLEANING_RATIO = 12;
const MIN_CLEANING_BYTES = 4096;
/** Up to this size a loop over words is quicker than making two views for `set`. */
const MAX_LOOP_BYTES = 512;

/**
 * Wins back the dead bytes of a segment: walks the emptiest block, moves its live entries to the open block, and so frees
 * it. Log-structured cleaning after Rosenblum and Ousterhout (1992) and Rumble, Kejriwal and Ousterhout,
 * "Log-structured memory for DRAM-based storage" (2014), with one log and greedy choice.
 *
 * Moving an entry changes its slot's address and nothing else, because list and index link slots.
 */
export class Cleaner {
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private victim = -1;
  private generation = 0;
  /** Index of the next word to look at in the victim. */
  private at = 0;
  /** `freedBytes` and `openBlock` of the `BlockPool` when the last search found no block worth cleaning. */
  private vainFreedBytes = -Infinity;
  private vainOpenBlock = -1;

  constructor(blocks: BlockPool, slots: SlotTable) {
    this.blocks = blocks;
    this.slots = slots;
  }

  /** True when cleaning is due, because there are too many dead bytes. */
  get isDue(): boolean {
    const { reservedBytes, fragmentedBytes } = this.blocks;
    return fragmentedBytes > MIN_FRAGMENTED_BYTES && fragmentedBytes > reservedBytes * MAX_FRAGMENTED_SHARE;
  }

  /** True when there are fewer dead bytes than cleaning needs to keep up with what is written near the ceiling. */
  get lacksDeadBytes(): boolean {
    const { reservedBytes, fragmentedBytes } = this.blocks;
    return fragmentedBytes < MIN_FRAGMENTED_BYTES + reservedBytes * TIGHT_FRAGMENTED_SHARE;
  }

  /** False when there are too few dead bytes for cleaning to gain a block. */
  get mayGain(): boolean {
    return this.blocks.fragmentedBytes > MIN_FRAGMENTED_BYTES;
  }

  /** Cleans in proportion to what was just written or removed, if there are dead bytes enough. */
  keepUp(changedBytes: number): void {
    if (this.blocks.isTight ? this.lacksDeadBytes : !this.isDue) return;
    this.step(Math.min(changedBytes * CLEANING_RATIO + MIN_CLEANING_BYTES, BLOCK_CHARGE_BYTES));
  }

  /**
   * Walks up to `budgetBytes` of the emptiest block, or of the one begun before.
   * @returns false when there is nothing to gain, or no room to move an entry to.
   */
  step(budgetBytes: number): boolean {
    const { blocks, slots } = this;
    if (!this.isUnderWay && !this.begin()) return false;
    const { victim, generation } = this;
    const words = blocks.words[victim];
    const end = blocks.filled[victim] >>> 2;
    const stop = Math.min(end, this.at + (budgetBytes >>> 2));
    let { at } = this;
    do {
      const bytes = entryBytesAt(words, at);
      if ((flagsOf(words[at + 1]) & DEAD) === 0) {
        const to = blocks.allocateForCleaning(bytes);
        if (to === NO_ADDRESS) {
          this.at = at;
          return false;
        }
        this.copy(victim, at, to, bytes);
        slots.setAddress(words[at], to);
        setFlagAt(words, at, DEAD);
        blocks.free(addressOf(victim, at * 4), bytes);
        if (blocks.generation[victim] !== generation) {
          this.victim = -1;
          return true;
        }
      }
      at += bytes >>> 2;
    } while (at < stop);
    this.at = at;
    return true;
  }

  /** True while a block is partly walked. */
  get isUnderWay(): boolean {
    return this.victim >= 0 && this.blocks.generation[this.victim] === this.generation;
  }

  private begin(): boolean {
    this.victim = this.emptiestBlock();
    if (this.victim < 0) return false;
    this.generation = this.blocks.generation[this.victim];
    this.at = 0;
    return true;
  }

  private copy(fromBlock: number, fromWord: number, to: number, bytes: number): void {
    const { blocks } = this;
    const toBlock = blockOf(to);
    const source = blocks.words[fromBlock];
    const target = blocks.words[toBlock];
    const toWord = wordOf(to);
    const length = bytes >>> 2;
    if (bytes <= MAX_LOOP_BYTES) {
      for (let i = 0; i < length; i++) target[toWord + i] = source[fromWord + i];
    } else {
      target.set(source.subarray(fromWord, fromWord + length), toWord);
    }
    const earliest = blocks.earliestExpiryMs[fromBlock];
    if (earliest < blocks.earliestExpiryMs[toBlock]) blocks.earliestExpiryMs[toBlock] = earliest;
  }

  private emptiestBlock(): number {
    const { blocks } = this;
    // There are hardly more dead bytes than at the last search in vain. There may be thousands of blocks to look at.
    const isSame = blocks.openBlock === this.vainOpenBlock;
    if (isSame && blocks.freedBytes - this.vainFreedBytes < MIN_DEAD_BYTES) return -1;
    let best = -1;
    let bestLive = BLOCK_BYTES;
    for (let block = 0; block < blocks.blocks; block++) {
      if (block === blocks.openBlock || blocks.capacity(block) !== BLOCK_BYTES) continue;
      const live = blocks.live[block];
      if (live < bestLive && blocks.filled[block] - live >= MIN_DEAD_BYTES) {
        best = block;
        bestLive = live;
      }
    }
    if (best < 0) {
      this.vainFreedBytes = blocks.freedBytes;
      this.vainOpenBlock = blocks.openBlock;
    }
    return best;
  }
}
