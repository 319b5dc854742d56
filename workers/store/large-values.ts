import {
  BLOCK_CHARGE_BYTES,
  EMPTY_SEGMENT_BYTES,
  blockChargeBytes,
  chainChargeBytes,
} from '../../src/shared/segment-sizes.ts';
import type { Chain, Piece } from './chain-table.ts';
import type { Cleaner } from './cleaner.ts';
import type { EntryTable, SegmentOptions } from './entry-table.ts';
import type { Eviction } from './eviction.ts';
import { NO_SLOT } from './slot-table.ts';

/** Evicted or cleaned at once, so that a step takes a tenth of a millisecond. */
const STEP_BYTES = 2 ** 15;
/** A piece evicts up to this many times its own size ahead of need: see `Eviction.makeDeadBytes`. */
const AHEAD_RATIO = 2;

/** Whether there is room for a large value: it never fits, or not while other shards hold what it needs. */
export type Room = 'enough' | 'never' | 'not now';

/**
 * Values that are larger than a block. They come in pieces, and are read in pieces. Each piece is charged to the ledger
 * as it comes. What it displaces is evicted in steps, between which the shard serves others.
 */
export class LargeValues {
  private readonly options: SegmentOptions;
  private readonly table: EntryTable;
  private readonly eviction: Eviction;
  private readonly cleaner: Cleaner;
  /** What the present piece may still evict while there are few holes. */
  private aheadBytes = 0;

  constructor(options: SegmentOptions, table: EntryTable, eviction: Eviction, cleaner: Cleaner) {
    this.options = options;
    this.table = table;
    this.eviction = eviction;
    this.cleaner = cleaner;
  }

  /** @param promisedBytes what values that are coming already will still be charged. */
  roomFor(bytes: number, promisedBytes: number): Room {
    const { ledger, shard } = this.options;
    const neededBytes = chainChargeBytes(bytes);
    const fixedBytes = EMPTY_SEGMENT_BYTES + BLOCK_CHARGE_BYTES;
    if (neededBytes + fixedBytes > ledger.most) return 'never';
    const evictableBytes = ledger.held(shard) - fixedBytes - this.table.chains.looseBytes;
    const roomBytes = ledger.room(shard) + Math.max(0, evictableBytes) - promisedBytes;
    return neededBytes <= roomBytes ? 'enough' : 'not now';
  }

  begin(): Chain {
    return this.table.chains.begin();
  }

  /** To be called once for each piece, before `makeRoom`. */
  beginPiece(): void {
    this.eviction.begin();
    this.aheadBytes = AHEAD_RATIO * BLOCK_CHARGE_BYTES;
  }

  /**
   * Reserves the charge of a piece, or does a small step towards it.
   * @returns `none` where nothing is left that could be evicted.
   */
  makeRoom(piece: Piece): 'reserved' | 'more' | 'none' {
    const { table, cleaner } = this;
    const chargeBytes = blockChargeBytes(piece.buffer.byteLength);
    if (table.memory.tryReserve(chargeBytes)) return 'reserved';
    const mayClean = cleaner.mayGain && (this.aheadBytes <= 0 || !cleaner.lacksDeadBytes);
    if (mayClean && cleaner.step(STEP_BYTES)) return 'more';
    const evictedBytes = this.eviction.evictForEntry(STEP_BYTES);
    this.aheadBytes -= evictedBytes;
    if (evictedBytes > 0) return 'more';
    // Slots and index may hold what the piece needs. With no entry left they can go.
    if (table.count === 0) table.reset();
    return table.memory.tryReserve(chargeBytes) ? 'reserved' : 'none';
  }

  /** Adds a piece for which there is room. */
  add(chain: Chain, piece: Piece): void {
    this.table.chains.add(chain, piece);
  }

  /** Gives up a value that is not stored. */
  drop(chain: Chain): void {
    this.table.chains.drop(chain);
  }

  /** A read of an entry's value begins. */
  pin(chain: Chain): void {
    this.table.chains.pin(chain);
  }

  unpin(chain: Chain): void {
    this.table.chains.unpin(chain);
  }

  /** A value that is being read is in use: it becomes the most recently used, if it is still that of its key. */
  touch(key: string, chain: Chain): void {
    const { table } = this;
    const slot = table.lookup(key, table.hash(key));
    if (slot !== NO_SLOT && table.chainOf(slot) === chain) table.list.touch(slot);
  }
}
