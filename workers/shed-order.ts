import type { ShedResult } from '../src/shared/shed-result.ts';
import { NOTHING_DUE, type SegmentStore } from './store/segment-store.ts';

/** An order may leave this share of what is reserved as dead bytes: they are not worth moving other entries for. */
const FRAGMENTED_SLACK_SHARE = 0.002;
const CLEANING_STEP_BYTES = 2 ** 15;
/** Evicted between two looks at the clock. Giving as much back to the system takes a tenth of a millisecond. */
const EVICTION_STEP_BYTES = 2 ** 18;
/** Bytes of blocks that are searched for expired entries at a time. */
const SWEEP_STEP_BYTES = 2 ** 15;
/** Bytes of blocks that are searched in all, as a multiple of what was ordered. */
const MAX_SWEPT_RATIO = 4;
/** How long a slice works. Requests wait for its end. */
export const SHED_SLICE_MS = 0.5;

/**
 * One shed order under way. It removes, in this order: what was cleared and has not gone back yet; expired entries, as
 * far as a bounded search finds them; the least recently used entries. Then it cleans, so that
 * the memory really goes back. All of it is done in slices, so that requests are answered in between.
 */
export class ShedOrder {
  private readonly store: SegmentStore;
  private readonly orderedBytes: number;
  private readonly fragmentedBefore: number;
  private readonly reservedBefore: number;
  private readonly shedBytesBefore: number;
  private readonly shedEntriesBefore: number;
  /** Bytes that have gone so far, for whatever reason. */
  private goneBytes = 0;
  private sweepBytesLeft: number;
  /** Memory of what the order has removed that is still about to go back. It has been counted already. */
  private ownLeftoverBytes = 0;
  private longestSliceMs = 0;

  constructor(store: SegmentStore, orderedBytes: number) {
    this.store = store;
    this.orderedBytes = orderedBytes;
    this.sweepBytesLeft = orderedBytes * MAX_SWEPT_RATIO;
    this.fragmentedBefore = store.fragmentedBytes;
    this.reservedBefore = store.reservedBytes;
    this.shedBytesBefore = store.shedBytes;
    this.shedEntriesBefore = store.counters.shed;
  }

  /** Works for about `budgetMs`. @returns the result once the order is done. */
  slice(budgetMs: number, nowMs: () => number): ShedResult | undefined {
    const startedMs = nowMs();
    let elapsedMs = 0;
    let hasMore = true;
    while (hasMore && elapsedMs < budgetMs) {
      hasMore = this.evictSome() || this.cleanSome();
      elapsedMs = nowMs() - startedMs;
    }
    this.longestSliceMs = Math.max(this.longestSliceMs, elapsedMs);
    if (hasMore) return undefined;
    const { store } = this;
    store.dropSpare();
    return {
      shedBytes: store.shedBytes - this.shedBytesBefore,
      shedEntries: store.counters.shed - this.shedEntriesBefore,
      releasedBytes: Math.max(0, this.reservedBefore - store.reservedBytes),
      longestSliceMs: this.longestSliceMs,
    };
  }

  private evictSome(): boolean {
    const { store } = this;
    const wantedBytes = Math.min(this.orderedBytes - this.goneBytes, EVICTION_STEP_BYTES);
    if (wantedBytes <= 0 && this.ownLeftoverBytes <= 0) return false;
    if (this.giveBackSome()) return true;
    if (wantedBytes <= 0) return false;
    const isSwept = this.sweepBytesLeft <= 0;
    const bytes = isSwept ? store.evict(wantedBytes, 'shed') : this.sweepSome();
    this.goneBytes += bytes;
    this.ownLeftoverBytes = store.leftoverBytes;
    return bytes > 0 || !isSwept;
  }

  /** Large values that were removed go back in pieces, as cleared memory does. */
  private giveBackSome(): boolean {
    const bytes = this.store.giveBackLeftover();
    const ownBytes = Math.min(bytes, this.ownLeftoverBytes);
    this.ownLeftoverBytes = bytes === 0 ? 0 : this.ownLeftoverBytes - ownBytes;
    this.goneBytes += bytes - ownBytes;
    return bytes > 0;
  }

  private sweepSome(): number {
    const bytes = this.store.removeExpired(SWEEP_STEP_BYTES);
    this.sweepBytesLeft = bytes === NOTHING_DUE ? 0 : this.sweepBytesLeft - SWEEP_STEP_BYTES;
    return Math.max(0, bytes);
  }

  private cleanSome(): boolean {
    const { store } = this;
    const allowedBytes = this.fragmentedBefore + store.reservedBytes * FRAGMENTED_SLACK_SHARE;
    return store.fragmentedBytes > allowedBytes && store.clean(CLEANING_STEP_BYTES);
  }
}
