import { LARGE_RECORD, PIECE } from '../../src/shared/snapshot-format.ts';
import { free } from '../../src/shared/free.ts';
import type { LoadedCounts } from '../../src/shared/snapshots.ts';
import type { RecordBytes, Restored, SegmentStore } from '../store/segment-store.ts';

/** One section of a snapshot, or the part of one that belongs to this shard, on its way into the segment. */
export class LoadJob {
  readonly counts: Record<keyof LoadedCounts, number> = { loaded: 0, superseded: 0, expired: 0, keptOut: 0 };
  private readonly store: SegmentStore;
  private readonly kind: number;
  private readonly body: ArrayBuffer;
  private readonly records: RecordBytes;
  private at = 0;

  constructor(store: SegmentStore, kind: number, body: ArrayBuffer) {
    this.store = store;
    this.kind = kind;
    this.body = body;
    this.records = { words: new Uint32Array(body, 0, body.byteLength >>> 2), bytes: Buffer.from(body) };
  }

  /** Works for about `budgetMs`. @returns whether all of it is done. */
  work(budgetMs: number, nowMs: () => number): boolean {
    const { restorer } = this.store;
    restorer.checkRoom();
    if (this.kind === PIECE) {
      this.count(restorer.takePiece(this.body));
      return true;
    }
    if (this.kind === LARGE_RECORD) {
      this.count(restorer.beginLarge(this.records));
      return true;
    }
    const stopMs = nowMs() + budgetMs;
    while (this.at < this.records.words.length) {
      this.at = restorer.take(this.records, this.at, this.counts);
      if (nowMs() >= stopMs) break;
    }
    if (this.at < this.records.words.length) return false;
    free(this.body);
    return true;
  }

  private count(what: Restored | undefined): void {
    if (what !== undefined) this.counts[what]++;
  }
}
