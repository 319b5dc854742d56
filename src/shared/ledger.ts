import { assert } from './assert.ts';

const TIGHT_SHARE = 1 / 16;
/** Cells before those of the shards. */
const LIMIT_CELLS = 3;

/**
 * What each shard holds, and the ceiling over all of them, in memory that all threads share.
 *
 *     Int32Array over a SharedArrayBuffer, all cells in units
 *     [0] ceiling   [1] guarantee   [2] margin   [3 + i] held by shard i
 *
 * Invariant: Σ max(held[i], guarantee) ≤ ceiling, whatever the threads do at once. A shard adds to its own cell first
 * and then sums. Of two that reserve at the same time, the later one sees both additions, so at least one of them backs
 * out. Only the shard that owns a cell writes it, except for `forfeit`, which the main thread calls when the thread of
 * that shard has ended. So what a dead shard held comes back exactly.
 *
 * The guarantee is what a shard may always hold, however much the others have taken. Without it, a shard whose first
 * entry comes late could find the ceiling taken, and have nothing of its own to evict. What a shard lacks of its
 * guarantee, the others cannot use.
 */
export class Ledger {
  readonly buffer: SharedArrayBuffer;
  readonly unit: number;
  private readonly cells: Int32Array;

  /** Joins a ledger that was made on another thread. @param unit what one count stands for, as given to `create`. */
  constructor(buffer: SharedArrayBuffer, unit: number) {
    this.buffer = buffer;
    this.unit = unit;
    this.cells = new Int32Array(buffer);
  }

  /** @param amounts in bytes, or in entries. A count in the ledger stands for `unit` of them. */
  static create(shards: number, amounts: { ceiling: number; guarantee: number; unit: number }): Ledger {
    const ledger = new Ledger(new SharedArrayBuffer((LIMIT_CELLS + shards) * 4), amounts.unit);
    ledger.setLimits(amounts.ceiling, amounts.guarantee);
    return ledger;
  }

  get ceiling(): number {
    return this.cells[0] * this.unit;
  }

  get guarantee(): number {
    return this.cells[1] * this.unit;
  }

  /**
   * Sets ceiling and guarantee, before the first entry is stored.
   * @param ceiling,guarantee in bytes, or in entries.
   * @param margin `isTight` is true only when less than this is left between what is held and the ceiling.
   */
  setLimits(ceiling: number, guarantee: number, margin = Infinity): void {
    const ceilingUnits = Math.min(Math.floor(ceiling / this.unit), 2 ** 31 - 1);
    const guaranteeUnits = Math.floor(guarantee / this.unit);
    const shards = this.cells.length - LIMIT_CELLS;
    assert(guaranteeUnits * shards <= ceilingUnits, 'the ceiling is lower than what the shards are promised');
    Atomics.store(this.cells, 0, ceilingUnits);
    Atomics.store(this.cells, 1, guaranteeUnits);
    Atomics.store(this.cells, 2, Math.floor(Math.min(ceilingUnits, margin / this.unit)));
  }

  held(shard: number): number {
    return Atomics.load(this.cells, LIMIT_CELLS + shard) * this.unit;
  }

  totalHeld(): number {
    let units = 0;
    for (let i = LIMIT_CELLS; i < this.cells.length; i++) units += Atomics.load(this.cells, i);
    return units * this.unit;
  }

  /** What one shard can ever hold, while the others hold no more than they are promised. */
  get most(): number {
    const shards = this.cells.length - LIMIT_CELLS;
    return (this.cells[0] - this.cells[1] * (shards - 1)) * this.unit;
  }

  /** What a shard could reserve now. */
  room(shard: number): number {
    const { cells } = this;
    const guarantee = cells[1];
    let total = 0;
    for (let i = LIMIT_CELLS; i < cells.length; i++) total += Math.max(Atomics.load(cells, i), guarantee);
    const own = Atomics.load(cells, LIMIT_CELLS + shard);
    // What it has not taken of its own guarantee is counted in the total.
    return Math.max(0, cells[0] - total + Math.max(0, guarantee - own)) * this.unit;
  }

  /**
   * Reserves `amount` for a shard if the invariant allows it. Only that shard's thread may call this.
   * @returns false, and nothing changed, when the ceiling would be crossed.
   */
  tryReserve(shard: number, amount: number): boolean {
    const cells = this.cells;
    const units = Math.ceil(amount / this.unit);
    const own = Atomics.add(cells, LIMIT_CELLS + shard, units) + units;
    const guarantee = cells[1];
    if (own <= guarantee) return true;
    let total = 0;
    for (let i = LIMIT_CELLS; i < cells.length; i++) total += Math.max(Atomics.load(cells, i), guarantee);
    if (total <= cells[0]) return true;
    Atomics.sub(cells, LIMIT_CELLS + shard, units);
    return false;
  }

  /**
   * True when a shard holds more than its guarantee, and will soon be refused: less than a sixteenth of the ceiling is
   * left beside what the other shards are promised. It stays false until what is really held is within the margin.
   */
  isTight(shard: number): boolean {
    const cells = this.cells;
    const guarantee = cells[1];
    if (Atomics.load(cells, LIMIT_CELLS + shard) <= guarantee) return false;
    let held = 0;
    let total = 0;
    for (let i = LIMIT_CELLS; i < cells.length; i++) {
      const units = Atomics.load(cells, i);
      held += units;
      total += Math.max(units, guarantee);
    }
    return total > cells[0] * (1 - TIGHT_SHARE) && held > cells[0] - cells[2];
  }

  /** True when all shards together hold so much that memory is about to be shed. Never without a margin. */
  get isOverMargin(): boolean {
    const { cells } = this;
    const roomUnits = cells[0] - cells[2];
    let held = 0;
    for (let i = LIMIT_CELLS; i < cells.length; i++) held += Atomics.load(cells, i);
    return roomUnits > 0 && held >= roomUnits;
  }

  /** Gives back a part of what `tryReserve` took. Only that shard's thread may call this. */
  release(shard: number, amount: number): void {
    const units = Math.ceil(amount / this.unit);
    const before = Atomics.sub(this.cells, LIMIT_CELLS + shard, units);
    assert(before >= units, 'a shard released more than it held');
  }

  /** Takes back all that a dead shard held. Only the main thread may call this, after that shard's thread has ended. */
  forfeit(shard: number): number {
    return Atomics.exchange(this.cells, LIMIT_CELLS + shard, 0) * this.unit;
  }
}
