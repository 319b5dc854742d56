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

/** What one block takes from the system. */
export const BLOCK_BYTES = BLOCK_CHARGE_BYTES;

const LEDGER_UNIT_BYTES = 4_096;
const MAX_ENTRY_BYTES = 2 ** 20 + 512;
/** More than any benchmark puts: nothing may be evicted unless that is what is measured. */
const AMPLE_BYTES = 64 * 2 ** 30;

/** Our store with its settings for a benchmark. */
export class OurStore extends SegmentStore {
  constructor({ ceilingBytes = AMPLE_BYTES, maxEntries, seed, now = Date.now }: StoreOptions = {}) {
    const guarantee = guaranteeFor(MAX_ENTRY_BYTES);
    const [seed0, seed1] = seed ?? crypto.getRandomValues(new Uint32Array(2));
    const entryLedger =
      maxEntries === undefined ? undefined : Ledger.create(1, { ceiling: maxEntries, guarantee: 1, unit: 1 });
    const ledger = Ledger.create(1, { ceiling: ceilingBytes, guarantee, unit: LEDGER_UNIT_BYTES });
    super({ shard: 0, ledger, entryLedger, seed: [seed0, seed1], now });
  }

  override put(key: string, value: string, ttlMs = 0): boolean {
    if (!super.put(key, value, ttlMs)) throw new Error('the store refused an entry');
    return true;
  }

  /** Begins a shed order. @returns what does one slice of it, and is true once the order is done. */
  shed(orderedBytes: number): () => boolean {
    const order = new ShedOrder(this, orderedBytes);
    return () => order.slice(SHED_SLICE_MS, () => performance.now()) !== undefined;
  }
}
