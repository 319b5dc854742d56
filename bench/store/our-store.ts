import { Ledger } from '../../src/shared/ledger.ts';
import { guaranteeFor } from '../../src/shared/segment-sizes.ts';
import { SegmentStore } from '../../workers/store/segment-store.ts';
import type { Subject } from './subjects.ts';

/** The one place that knows how our store is made and called. */
export interface StoreStats {
  readonly entries: number;
  /** What the entries need: header, key, value, padding and slot. */
  readonly liveBytes: number;
  /** What was taken from the system. */
  readonly reservedBytes: number;
  /** Entries displaced for want of room. */
  readonly evicted: number;
}

export interface StoreOptions {
  readonly ceilingBytes?: number;
  readonly maxEntries?: number | undefined;
  /** Random if absent. */
  readonly seed?: readonly [number, number];
  /** Milliseconds since the epoch; the system's clock if absent. */
  readonly now?: () => number;
}

const LEDGER_UNIT_BYTES = 4_096;
const LARGEST_ENTRY_BYTES = 2 ** 20 + 512;
/** Far more than any benchmark puts: nothing may be displaced that was not meant to be. */
const AMPLE_BYTES = 64 * 2 ** 30;

export class OurStore implements Subject {
  readonly segment: SegmentStore;

  constructor({ ceilingBytes = AMPLE_BYTES, maxEntries, seed, now = Date.now }: StoreOptions = {}) {
    const guarantee = guaranteeFor(LARGEST_ENTRY_BYTES);
    this.segment = new SegmentStore({
      shard: 0,
      ledger: Ledger.create(1, { ceiling: ceilingBytes, guarantee, unit: LEDGER_UNIT_BYTES }),
      entryLedger:
        maxEntries === undefined
          ? undefined
          : Ledger.create(1, { ceiling: maxEntries, guarantee: 1, unit: 1 }),
      seed: seed ?? randomSeed(),
      now,
    });
  }

  put(key: string, value: string, ttlMs = 0): void {
    if (!this.segment.put(key, value, ttlMs)) throw new Error('the store refused an entry');
  }

  get(key: string): string | undefined {
    return this.segment.get(key);
  }

  delete(key: string): boolean {
    return this.segment.delete(key);
  }

  clear(): number {
    return this.segment.clear();
  }

  /** One step of what need not be done at once. @returns false when nothing is left. */
  maintain(budgetBytes: number): boolean {
    return this.segment.maintain(budgetBytes);
  }

  count(): number {
    return this.segment.entries;
  }

  stats(): StoreStats {
    const { entries, liveBytes, reservedBytes, counters } = this.segment;
    return { entries, liveBytes, reservedBytes, evicted: counters.evicted };
  }

  checkIntegrity(): void {
    this.segment.checkIntegrity();
  }
}

function randomSeed(): [number, number] {
  const [first, second] = crypto.getRandomValues(new Uint32Array(2));
  return [first, second];
}
