import { LARGE_RECORD, PIECE, RECORDS } from '../../src/shared/snapshot-format.ts';
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

  /** @param bodyBytes that are used of the body. */
  constructor(store: SegmentStore, kind: number, body: ArrayBuffer, bodyBytes: number) {
    this.store = store;
    this.kind = kind;
    this.body = body;
    this.records = {
      words: new Uint32Array(body, 0, bodyBytes >>> 2),
      bytes: Buffer.from(body, 0, bodyBytes),
    };
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
    return this.at >= this.records.words.length;
  }

  /** The buffer of the section; undefined where it is a part of an entry now. To be taken when all is done. */
  get spare(): ArrayBuffer | undefined {
    return this.kind === RECORDS ? this.body : undefined;
  }

  private count(what: Restored | undefined): void {
    if (what !== undefined) this.counts[what]++;
  }
}
