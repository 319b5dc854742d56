import { NO_SLOT, type SlotTable } from './slot-table.ts';

const MARK_INTERVAL_MS = 1000;
const MAX_MARKS = 32;
/** Most slots that are used have no mark, and are to be passed over by one look. */
const FILTER_SIZE = 1024;

/**
 * Knows about when the least recently used entry was last used, without a time in every entry.
 *
 *     most recently used ⇄ … ⇄ mark, 1 s ago ⇄ … ⇄ mark, 60 s ago ⇄ … ⇄ least recently used
 *
 * Now and then the most recently used entry gets a mark with the time. From a mark to the end of the list nobody has been
 * used since that time; in front of it everybody has. When an entry with a mark is used or removed, the mark moves to the
 * next older entry, for which the same is true. Past the end of the list it is dropped. There are few marks: when a new one
 * needs a place, one goes whose neighbours are close together beside their age. So the age of the least recently used entry
 * is known to within about half of it.
 */
export class AgeMarks {
  private readonly slots: SlotTable;
  /** Of each mark, oldest first. */
  private readonly markedSlots: number[] = [];
  private readonly atMs: number[] = [];
  /** How many marks are at slots with these last bits. */
  private readonly filter = new Uint8Array(FILTER_SIZE);

  constructor(slots: SlotTable) {
    this.slots = slots;
  }

  /** To be called now and then: marks the most recently used entry. */
  tick(nowMs: number): void {
    const slot = this.slots.next(NO_SLOT);
    const last = this.markedSlots.length - 1;
    if (slot === NO_SLOT) return;
    if (last >= 0 && (this.markedSlots[last] === slot || nowMs - this.atMs[last] < MARK_INTERVAL_MS)) return;
    if (last + 1 === MAX_MARKS) this.drop(this.leastUseful(nowMs));
    this.markedSlots.push(slot);
    this.atMs.push(nowMs);
    this.filter[slot % FILTER_SIZE]++;
  }

  /** For how long the least recently used entry has not been used, at least; 0 where that is not known. */
  ageMs(nowMs: number): number {
    return this.atMs.length === 0 ? 0 : nowMs - this.atMs[0];
  }

  /** To be called before an entry leaves its place in the list. */
  leave(slot: number): void {
    if (this.filter[slot % FILTER_SIZE] !== 0) this.move(slot, this.slots.next(slot));
  }

  /** Moves the marks of one slot to another one. */
  move(from: number, to: number): void {
    const { markedSlots } = this;
    for (let i = markedSlots.length - 1; i >= 0; i--) {
      if (markedSlots[i] !== from) continue;
      if (to === NO_SLOT) {
        this.drop(i);
      } else {
        markedSlots[i] = to;
        this.filter[from % FILTER_SIZE]--;
        this.filter[to % FILTER_SIZE]++;
      }
    }
  }

  clear(): void {
    this.markedSlots.length = 0;
    this.atMs.length = 0;
    this.filter.fill(0);
  }

  private drop(mark: number): void {
    this.filter[this.markedSlots[mark] % FILTER_SIZE]--;
    this.markedSlots.splice(mark, 1);
    this.atMs.splice(mark, 1);
  }

  /** Without it the largest gap, as a share of its age, stays smallest. The oldest and the newest mark stay. */
  private leastUseful(nowMs: number): number {
    const { atMs } = this;
    let best = 1;
    let bestShare = Infinity;
    for (let i = 1; i < atMs.length - 1; i++) {
      const share = (atMs[i + 1] - atMs[i - 1]) / (nowMs - atMs[i - 1]);
      if (share < bestShare) {
        best = i;
        bestShare = share;
      }
    }
    return best;
  }
}
