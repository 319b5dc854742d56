import { assert } from '../../src/shared/assert.ts';
import type { Cleaner } from './cleaner.ts';
import type { EntryTable } from './entry-table.ts';
import { type ExpirySweep, NOTHING_DUE } from './expiry-sweep.ts';
import { NO_SLOT } from './slot-table.ts';

/** Expired entries, dead bytes, empty slots. */
const KINDS = 3;
/** Moving one slot costs about as much as walking this many bytes of a block. */
const BYTES_PER_SLOT = 64;

/** The work of a segment that no request waits for, in small steps: see ADR 15. */
export class Maintenance {
  private readonly table: EntryTable;
  private readonly cleaner: Cleaner;
  private readonly sweep: ExpirySweep;
  private readonly now: () => number;
  /** The kind of work that had its turn last. */
  private kind = 0;

  constructor(table: EntryTable, cleaner: Cleaner, sweep: ExpirySweep, now: () => number) {
    this.table = table;
    this.cleaner = cleaner;
    this.sweep = sweep;
    this.now = now;
  }

  /** Does one step of about `budgetBytes`. @returns false when there is nothing left to do. */
  step(budgetBytes: number): boolean {
    if (this.table.memory.giveBackLeftover() > 0) return true;
    // In turns, since there may always be more of one kind.
    for (let tries = 0; tries < KINDS; tries++) {
      this.kind = (this.kind + 1) % KINDS;
      if (this.kind === 0 && this.sweep.step(this.now(), budgetBytes) !== NOTHING_DUE) return true;
      if (this.kind === 1 && this.cleaner.isDue && this.cleaner.step(budgetBytes)) return true;
      if (this.kind === 2 && this.compactSlots(Math.ceil(budgetBytes / BYTES_PER_SLOT))) return true;
    }
    return false;
  }

  /** Moves entries out of the last chunk of slots while that pays, and gives the chunk back. */
  private compactSlots(limit: number): boolean {
    const { slots } = this.table;
    if (!slots.isSparse) return false;
    for (let i = 0; i < limit; i++) {
      const from = slots.lastUsedSlot();
      if (from === NO_SLOT) {
        slots.dropLastChunk();
        return true;
      }
      this.relocate(from, slots.take());
    }
    return true;
  }

  /** Gives an entry another slot. */
  private relocate(from: number, to: number): void {
    const { slots, index, list, codec, hashOfSlot } = this.table;
    assert(to !== NO_SLOT && to < from, 'a slot moves to a lower chunk');
    const address = slots.address(from);
    slots.setAddress(to, address);
    slots.setChain(to, slots.chain(from));
    index.replace(hashOfSlot(from), from, to);
    list.replace(from, to);
    codec.setSlot(address, to);
    slots.give(from);
  }
}
