/** The only file of the benchmarks that imports the product: how its store is made and used. */
import { Ledger } from '../../src/shared/ledger.ts';
import { BLOCK_CHARGE_BYTES, guaranteeFor } from '../../src/shared/segment-sizes.ts';
import { SHED_SLICE_MS, ShedOrder } from '../../workers/shed-order.ts';
import { SegmentStore } from '../../workers/store/segment-store.ts';

export interface StoreOptions {
  readonly ceilingBytes?: number;
  readonly maxEntries?: number | undefined;
  /** Random if absent. */
  readonly seed?: readonly [number, number];
  /** Milliseconds since the epoch; the system's clock if absent. */
  readonly now?: () => number;
}

export interface StoreStats {
  readonly entries: number;
  /** What the entries need: header, key, value, padding and slot. */
  readonly liveBytes: number;
  /** What was taken from the system. */
  readonly reservedBytes: number;
}

/** What one block takes from the system. */
export const BLOCK_BYTES = BLOCK_CHARGE_BYTES;

const LEDGER_UNIT_BYTES = 4_096;
const MAX_ENTRY_BYTES = 2 ** 20 + 512;
/** More than any benchmark puts: nothing may be evicted unless that is what is measured. */
const AMPLE_BYTES = 64 * 2 ** 30;

export class OurStore {
  private readonly segment: SegmentStore;

  constructor({ ceilingBytes = AMPLE_BYTES, maxEntries, seed, now = Date.now }: StoreOptions = {}) {
    const guarantee = guaranteeFor(MAX_ENTRY_BYTES);
    const [seed0, seed1] = seed ?? crypto.getRandomValues(new Uint32Array(2));
    this.segment = new SegmentStore({
      shard: 0,
      ledger: Ledger.create(1, { ceiling: ceilingBytes, guarantee, unit: LEDGER_UNIT_BYTES }),
      entryLedger:
        maxEntries === undefined
          ? undefined
          : Ledger.create(1, { ceiling: maxEntries, guarantee: 1, unit: 1 }),
      seed: [seed0, seed1],
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

  /** One step of what need not be done at once. @returns false if nothing is left. */
  maintain(budgetBytes: number): boolean {
    return this.segment.maintain(budgetBytes);
  }

  /** Begins a shed order. @returns what does one slice of it, and is true once the order is done. */
  shed(orderedBytes: number): () => boolean {
    const order = new ShedOrder(this.segment, orderedBytes);
    return () => order.slice(SHED_SLICE_MS, () => performance.now()) !== undefined;
  }

  count(): number {
    return this.segment.entries;
  }

  stats(): StoreStats {
    const { entries, liveBytes, reservedBytes } = this.segment;
    return { entries, liveBytes, reservedBytes };
  }

  checkIntegrity(): void {
    this.segment.checkIntegrity();
  }
}
