import type { ShedResult } from '../src/shared/protocol.ts';
import { NOTHING_DUE, type SegmentStore } from './store/segment-store.ts';

/** Holes that an order leaves and that are not worth moving the rest for, as a share of what is reserved. */
const WASTE_SLACK_SHARE = 0.002;
const CLEANING_STEP_BYTES = 2 ** 15;
/** Between two looks at the clock: giving so much back to the system takes a tenth of a millisecond. */
const REMOVAL_STEP_BYTES = 2 ** 18;
/** So much of the blocks is looked through for expired entries at a time, and in all so many times what was ordered. */
const SWEEP_STEP_BYTES = 2 ** 15;
const MOST_SWEPT_RATIO = 4;
/** What a slice works for; requests wait for its end. */
export const SHED_SLICE_MS = 0.5;

/**
 * One shed order on its way. What was cleared and has not gone yet goes first, then what has expired, as far as a look
 * finds it, then the cold end; then the holes that they left are squeezed out, so that the memory really goes back. All
 * in slices, so that requests are answered in between.
 */
export class ShedOrder {
  private readonly store: SegmentStore;
  private readonly orderedBytes: number;
  private readonly wasteBefore: number;
  private readonly reservedBefore: number;
  private readonly shedBytesBefore: number;
  private readonly shedEntriesBefore: number;
  /** Of what was ordered, for whatever reason it went. */
  private goneBytes = 0;
  private sweepBytesLeft: number;
  private longestSliceMs = 0;

  constructor(store: SegmentStore, orderedBytes: number) {
    this.store = store;
    this.orderedBytes = orderedBytes;
    this.sweepBytesLeft = orderedBytes * MOST_SWEPT_RATIO;
    this.wasteBefore = store.wasteBytes;
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
      hasMore = this.removeSome() || this.squeezeSome();
      elapsedMs = nowMs() - startedMs;
    }
    this.longestSliceMs = Math.max(this.longestSliceMs, elapsedMs);
    if (hasMore) return undefined;
    const { store } = this;
    store.releaseSpare();
    return {
      shedBytes: store.shedBytes - this.shedBytesBefore,
      shedEntries: store.counters.shed - this.shedEntriesBefore,
      releasedBytes: Math.max(0, this.reservedBefore - store.reservedBytes),
      longestSliceMs: this.longestSliceMs,
    };
  }

  private removeSome(): boolean {
    const { store } = this;
    const wantedBytes = Math.min(this.orderedBytes - this.goneBytes, REMOVAL_STEP_BYTES);
    if (wantedBytes <= 0) return false;
    const isSwept = this.sweepBytesLeft <= 0;
    const bytes =
      store.giveBackLeftover() || (isSwept ? store.removeColdest(wantedBytes, 'shed') : this.sweepSome());
    this.goneBytes += bytes;
    return bytes > 0 || !isSwept;
  }

  private sweepSome(): number {
    const bytes = this.store.removeExpired(SWEEP_STEP_BYTES);
    this.sweepBytesLeft = bytes === NOTHING_DUE ? 0 : this.sweepBytesLeft - SWEEP_STEP_BYTES;
    return Math.max(0, bytes);
  }

  private squeezeSome(): boolean {
    const { store } = this;
    const allowed = this.wasteBefore + store.reservedBytes * WASTE_SLACK_SHARE;
    return store.wasteBytes > allowed && store.clean(CLEANING_STEP_BYTES);
  }
}
