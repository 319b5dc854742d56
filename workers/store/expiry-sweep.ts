import type { BlockPool } from './block-pool.ts';
import { DEAD, entryBytesAt, expiresAtMs, flagsOf } from './entry-layout.ts';

/** Returned where no block may hold an expired entry. */
export const NOTHING_DUE = -1;

/**
 * Finds expired entries that nobody asks for. Each block knows a lower bound of its entries' expiry times, so a block
 * where nothing is due costs one comparison. A block where something may be due is walked front to back, in steps, and
 * then has a new bound.
 */
export class ExpirySweep {
  /** Entries looked at so far, dead ones included: the cost of all walks. */
  walkedEntries = 0;
  private readonly blocks: BlockPool;
  private readonly removeExpired: (slot: number) => number;
  private block = 0;
  private generation = -1;
  private at = 0;
  private earliestMs = Infinity;

  /** @param removeExpired removes an entry, and returns its bytes in its block. */
  constructor(blocks: BlockPool, removeExpired: (slot: number) => number) {
    this.blocks = blocks;
    this.removeExpired = removeExpired;
  }

  /**
   * Walks up to about `budgetBytes` of blocks in which something is due.
   * @returns the bytes of the entries removed, or NOTHING_DUE when there is no such block.
   */
  step(nowMs: number, budgetBytes: number): number {
    const { blocks } = this;
    if (this.generation < 0 && !this.findDueBlock(nowMs)) return NOTHING_DUE;
    let removedBytes = 0;
    const { block, generation } = this;
    const words = blocks.words[block];
    const stop = this.at + (budgetBytes >>> 2);
    while (blocks.generation[block] === generation && this.at < blocks.filled[block] >>> 2) {
      if (this.at >= stop) return removedBytes;
      const { at } = this;
      const bytes = entryBytesAt(words, at);
      this.at += bytes >>> 2;
      this.walkedEntries++;
      if ((flagsOf(words[at + 1]) & DEAD) !== 0) continue;
      const atMs = expiresAtMs(words, at);
      if (atMs <= nowMs) removedBytes += this.removeExpired(words[at]);
      else if (atMs < this.earliestMs) this.earliestMs = atMs;
    }
    if (blocks.generation[block] === generation) blocks.earliestExpiryMs[block] = this.earliestMs;
    this.generation = -1;
    this.block = block + 1;
    return removedBytes;
  }

  private findDueBlock(nowMs: number): boolean {
    const { blocks } = this;
    if (nowMs < blocks.soonestExpiryMs) return false;
    let soonestMs = Infinity;
    for (let i = 0; i < blocks.blocks; i++) {
      const block = (this.block + i) % blocks.blocks;
      soonestMs = Math.min(soonestMs, blocks.earliestExpiryMs[block]);
      if (blocks.earliestExpiryMs[block] <= nowMs) {
        this.block = block;
        this.generation = blocks.generation[block];
        this.at = 0;
        this.earliestMs = Infinity;
        return true;
      }
    }
    blocks.soonestExpiryMs = soonestMs;
    return false;
  }
}
