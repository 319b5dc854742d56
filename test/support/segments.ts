import { Ledger } from '../../src/shared/ledger.ts';
import { guaranteeFor, maxEntryBytes } from '../../src/shared/segment-sizes.ts';
import type { ShedResult } from '../../src/shared/shed-result.ts';
import type { ShedOrder } from '../../workers/shed-order.ts';
import { type Chain, SegmentStore } from '../../workers/store/segment-store.ts';

/** Adds a piece to a large value, in as many steps as it takes. @returns false where nothing is left to displace. */
export function addPiece(store: SegmentStore, chain: Chain, text: string): boolean {
  const { largeValues } = store;
  const piece = { buffer: new Uint8Array(Buffer.from(text, 'latin1')).buffer, bytes: text.length };
  largeValues.beginPiece();
  for (;;) {
    const room = largeValues.makeRoom(piece);
    if (room === 'none') return false;
    if (room === 'reserved') {
      largeValues.add(chain, piece);
      return true;
    }
  }
}

/** The value of a chain. */
export function chainText({ pieces }: Chain): string {
  return pieces.map(({ buffer, bytes }) => Buffer.from(buffer, 0, bytes).toString('latin1')).join('');
}

/** Carries a whole shed order out, in slices of one step each. */
export function carryOut(order: ShedOrder): ShedResult {
  let ticks = 0;
  for (;;) {
    const result = order.slice(1, () => ticks++);
    if (result) return result;
  }
}

export const PAGE_BYTES = 4096;
export const MIB = 2 ** 20;

/** A clock that stands still until it is moved. */
export class Clock {
  ms = 1_700_000_000_000;
  readonly now = (): number => this.ms;
}

export interface SegmentSetup {
  readonly clock?: Clock;
  readonly ceilingBytes?: number;
  readonly shards?: number;
  readonly capacity?: number;
  readonly mostValueBytes?: number;
  readonly seed?: readonly [number, number];
}

export interface Segments {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly stores: readonly SegmentStore[];
}

/** Segments on one ledger, each promised enough for the largest entry. */
export function createSegments(setup: SegmentSetup = {}): Segments {
  const clock = setup.clock ?? new Clock();
  const shards = setup.shards ?? 1;
  const guarantee = guaranteeFor(maxEntryBytes(256, setup.mostValueBytes ?? MIB));
  const ledger = Ledger.create(shards, {
    ceiling: setup.ceilingBytes ?? 2 ** 32,
    guarantee,
    unit: PAGE_BYTES,
  });
  const entryLedger =
    setup.capacity === undefined
      ? undefined
      : Ledger.create(shards, { ceiling: setup.capacity, guarantee: 1, unit: 1 });
  const stores = Array.from(
    { length: shards },
    (_, shard) =>
      new SegmentStore({ shard, ledger, entryLedger, seed: setup.seed ?? [1, 2], now: clock.now }),
  );
  return { clock, ledger, stores };
}

export function createSegment(setup: SegmentSetup = {}): {
  clock: Clock;
  ledger: Ledger;
  store: SegmentStore;
} {
  const { clock, ledger, stores } = createSegments(setup);
  return { clock, ledger, store: stores[0] };
}
