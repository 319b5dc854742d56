import { NO_SLOT, type SlotTable } from './slot-table.ts';

/**
 * Visits every entry once, the most recently used first, while entries are used, put and removed.
 *
 *     pass 1   most recently used ─────────────────────────────► least recently used
 *     pass 2   entries used since then ──► where pass 1 began
 *     pass 3   entries used since then ──► where pass 2 began     …until none is left
 *
 * An entry that is used before its turn moves to the front of the list, behind the walk. So the walk passes over the front
 * again, as often as it takes. A bit for each slot says whose turn is over. A key that is put anew keeps its bit; a new key
 * begins with its turn over. So no key is visited twice, even if it is removed and put again.
 */
export class SnapshotWalk {
  /** Counts from 1. */
  pass = 1;

  private readonly slots: SlotTable;
  private readonly visited: Uint8Array;
  private left: number;
  /** The next slot to visit, and the one at which this pass ends, NO_SLOT for the end of the list. */
  private at: number;
  private stop = NO_SLOT;
  /** Where this pass began, which is where the next one ends. */
  private began: number;

  constructor(slots: SlotTable) {
    this.slots = slots;
    this.visited = new Uint8Array(slots.capacity / 8);
    this.left = slots.used;
    this.at = slots.next(NO_SLOT);
    this.began = this.at;
  }

  get isOver(): boolean {
    return this.left === 0;
  }

  /** Goes one entry further. @returns its slot; NO_SLOT where it has had its turn, or a pass has ended. */
  step(): number {
    if (this.at === this.stop) {
      this.pass++;
      this.stop = this.began;
      this.at = this.slots.next(NO_SLOT);
      this.began = this.at;
      return NO_SLOT;
    }
    const slot = this.at;
    this.at = this.slots.next(slot);
    if (this.isVisited(slot)) return NO_SLOT;
    this.visit(slot);
    return slot;
  }

  /** An entry is about to leave its place in the list. */
  leave(slot: number): void {
    if (slot === this.at) this.at = this.slots.next(slot);
    if (slot === this.stop) this.stop = this.slots.next(slot);
    if (slot === this.began) this.began = this.slots.next(slot);
  }

  /** An entry is removed. */
  remove(slot: number): void {
    this.visit(slot);
  }

  /** An entry has got this slot. @param isNew false for a key that had an entry whose turn had not come yet. */
  add(slot: number, isNew: boolean): void {
    const byte = slot >>> 3;
    if (byte >= this.visited.length) return;
    // Whatever the bit was: it is that of an entry that has gone, or of no entry yet.
    if (isNew) {
      this.visited[byte] |= 1 << (slot & 7);
    } else {
      this.visited[byte] &= ~(1 << (slot & 7));
      this.left++;
    }
  }

  /** An entry has got another slot, with its place in the list. */
  move(from: number, to: number): void {
    if (from === this.at) this.at = to;
    if (from === this.stop) this.stop = to;
    if (from === this.began) this.began = to;
    this.add(to, this.isVisited(from));
    this.visit(from);
  }

  /** All entries are gone. */
  clear(): void {
    this.left = 0;
    this.at = NO_SLOT;
    this.stop = NO_SLOT;
    this.began = NO_SLOT;
  }

  /** Slots that came later have no bit: whatever is in them is new. */
  isVisited(slot: number): boolean {
    const byte = slot >>> 3;
    return byte >= this.visited.length || (this.visited[byte] & (1 << (slot & 7))) !== 0;
  }

  private visit(slot: number): void {
    if (this.isVisited(slot)) return;
    this.visited[slot >>> 3] |= 1 << (slot & 7);
    this.left--;
  }
}
