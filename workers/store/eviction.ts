import { assert } from '../../src/shared/assert.ts';
import { BLOCK_CHARGE_BYTES } from '../../src/shared/segment-sizes.ts';
import { NO_ADDRESS } from './block-pool.ts';
import type { Cleaner } from './cleaner.ts';
import { READ } from './entry-layout.ts';
import type { EntryTable } from './entry-table.ts';
import { type ExpirySweep, NOTHING_DUE } from './expiry-sweep.ts';
import { NO_SLOT } from './slot-table.ts';
import { Victims } from './victims.ts';

/** Why entries are evicted: to make room for another entry, or by a shed order. */
export type EvictionReason = 'evicted' | 'shed';

/** Near the ceiling a PUT evicts up to this many times its own size, until there are enough dead bytes. */
const TIGHT_EVICTION_RATIO = 2;
/** The most that it evicts in this way. With a quarter of this, cleaning falls behind, and large values wait for it. */
const MAX_AHEAD_BYTES = 2 ** 20;
/** A PUT looks for expired entries among this many before it evicts live ones: two blocks of small entries. */
const MAX_WALKED_ENTRIES = 2 ** 14;
/** It stops when it has found some: a block may hold thousands, and removing them all would take milliseconds. */
const WALK_STEP_BYTES = 2 ** 14;
/** The least that is evicted at once when the ledger has refused a block. */
const MIN_REFUSED_BYTES = 2 ** 15;

/**
 * Makes room by removing entries. To make room for another entry, it removes expired entries first, if a short search
 * finds any, then the least recently used entries.
 *
 * A PUT calls `begin`, `reservePlace`, `makeDeadBytes`, `allocate` and `takeSlot`, in this order.
 */
export class Eviction {
  /** Bytes of the entries that shed orders evicted. */
  shedBytes = 0;
  /** Entries that were evicted or shed, and never read since they were put. */
  unread = 0;

  private readonly table: EntryTable;
  private readonly cleaner: Cleaner;
  private readonly sweep: ExpirySweep;
  private readonly victims: Victims;
  private readonly now: () => number;
  /** The count of walked entries at which this PUT stops looking for expired ones. */
  private walkStop = 0;

  constructor(table: EntryTable, cleaner: Cleaner, sweep: ExpirySweep, now: () => number) {
    this.table = table;
    this.cleaner = cleaner;
    this.sweep = sweep;
    this.now = now;
    const { codec, slots, list, index, hashOfSlot } = table;
    this.victims = new Victims(codec, slots, list, index, hashOfSlot);
  }

  /**
   * Removes least recently used entries until `wantedBytes` have gone, or one batch of `Victims`.
   * @returns the bytes in their blocks and chains, 0 when there is no entry.
   */
  evict(wantedBytes: number, reason: EvictionReason): number {
    const { table, victims } = this;
    const count = victims.gather(wantedBytes);
    const nowMs = this.now();
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const slot = victims.slots[i];
      const isExpired = table.codec.expiryMs(slot) <= nowMs;
      if (!isExpired && !table.codec.hasFlag(slot, READ)) this.unread++;
      const removed = table.remove(slot, victims.hashes[i], isExpired ? 'expired' : reason);
      if (reason === 'shed' && !isExpired) this.shedBytes += removed;
      bytes += removed;
    }
    return bytes;
  }

  /** A new PUT: it may look for expired entries again. */
  begin(): void {
    this.walkStop = this.sweep.walkedEntries + MAX_WALKED_ENTRIES;
  }

  /** Takes one place under the capacity, evicting until there is one. */
  reservePlace(): void {
    while (!this.table.tryReservePlace()) {
      assert(this.evictForEntry(1) > 0, 'every shard may hold one entry');
    }
  }

  /**
   * Near the ceiling, evicts a little ahead of need. Entries that were stored together but read at different times leave
   * dead bytes in all blocks. Cleaning is worth its time only when there are enough of them. They are made in small
   * steps on the way to the ceiling, so that no single PUT has to wait for all of them: see ADR 7.
   */
  makeDeadBytes(putBytes: number): void {
    if (!this.table.blocks.isTight) return;
    let wantedBytes = Math.min(putBytes * TIGHT_EVICTION_RATIO, MAX_AHEAD_BYTES);
    while (wantedBytes > 0 && this.cleaner.lacksDeadBytes) {
      const bytes = this.evictForEntry(wantedBytes);
      if (bytes === 0) return;
      wantedBytes -= bytes;
    }
  }

  /**
   * Finds room for an entry. What `makeDeadBytes` has not made ready is evicted now.
   * @param keep this entry is not evicted, nor any that was used more recently; NO_SLOT if every entry may be evicted.
   * @returns NO_ADDRESS when there is no room without evicting those, or even then.
   */
  allocate(bytes: number, keep = NO_SLOT): number {
    const { blocks, list } = this.table;
    for (;;) {
      const address = blocks.allocate(bytes);
      if (address !== NO_ADDRESS) return address;
      if (this.cleaner.mayGain && this.cleaner.step(BLOCK_CHARGE_BYTES)) continue;
      const wantedBytes = Math.max(MIN_REFUSED_BYTES, bytes);
      let evicted = 0;
      while (evicted < wantedBytes) {
        // What has been evicted may be enough.
        if (keep !== NO_SLOT && list.leastRecent === keep) return blocks.allocate(bytes);
        // A sweep might remove `keep` if it has expired.
        const removed =
          keep === NO_SLOT ? this.evictForEntry(wantedBytes - evicted) : this.evict(1, 'evicted');
        if (removed === 0) break;
        evicted += removed;
      }
      if (evicted === 0) {
        // Slots and index may take the memory that the block needs. With no entry left, they can be freed.
        this.table.reset();
        const last = blocks.allocate(bytes);
        // What is only coming, and what is only being read, goes last of all.
        if (last !== NO_ADDRESS || !this.table.chains.dropOldest()) return last;
      }
    }
  }

  /** Takes a slot, evicting until there is one. */
  takeSlot(): number {
    for (;;) {
      const slot = this.table.slots.take();
      if (slot !== NO_SLOT) return slot;
      assert(this.evict(1, 'evicted') > 0, 'a refused chunk of slots means that slots are in use');
    }
  }

  /**
   * Makes `wantedBytes` of room, or a part of them. May walk blocks, so every allocated address must have been written.
   * @returns bytes in their blocks, 0 when there is no entry.
   */
  evictForEntry(wantedBytes: number): number {
    const { sweep, table } = this;
    const slot = table.list.leastRecent;
    if (slot === NO_SLOT || table.isExpired(slot)) return this.evict(1, 'evicted');
    while (sweep.walkedEntries < this.walkStop) {
      const bytes = sweep.step(this.now(), WALK_STEP_BYTES);
      if (bytes > 0) return bytes;
      if (bytes === NOTHING_DUE) break;
    }
    return this.evict(wantedBytes, 'evicted');
  }
}
