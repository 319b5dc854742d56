import { AgeMarks } from './age-marks.ts';
import { NO_SLOT, type SlotTable } from './slot-table.ts';
import type { SnapshotWalk } from './snapshot-walk.ts';

/**
 * The order of use: a ring through the slots' `prev` and `next`, with slot 0 as its head.
 *
 *     0 ⇄ most recently used ⇄ … ⇄ least recently used ⇄ 0
 */
export class LruList {
  readonly ages: AgeMarks;
  /** Walks the list while it changes. */
  walk: SnapshotWalk | undefined;
  private readonly slots: SlotTable;

  constructor(slots: SlotTable) {
    this.slots = slots;
    this.ages = new AgeMarks(slots);
  }

  get leastRecent(): number {
    return this.slots.prev(NO_SLOT);
  }

  insertMostRecent(slot: number): void {
    const { slots } = this;
    const second = slots.next(NO_SLOT);
    slots.setPrev(slot, NO_SLOT);
    slots.setNext(slot, second);
    slots.setPrev(second, slot);
    slots.setNext(NO_SLOT, slot);
  }

  insertLeastRecent(slot: number): void {
    const { slots } = this;
    const last = slots.prev(NO_SLOT);
    slots.setNext(slot, NO_SLOT);
    slots.setPrev(slot, last);
    slots.setNext(last, slot);
    slots.setPrev(NO_SLOT, slot);
  }

  remove(slot: number): void {
    this.ages.leave(slot);
    this.walk?.leave(slot);
    this.unlink(slot);
  }

  touch(slot: number): void {
    this.ages.leave(slot);
    this.walk?.leave(slot);
    if (this.slots.next(NO_SLOT) === slot) return;
    this.unlink(slot);
    this.insertMostRecent(slot);
  }

  /** Puts `slot` in the place of `from`, which must be in the ring. */
  replace(from: number, slot: number): void {
    const { slots } = this;
    const prev = slots.prev(from);
    const next = slots.next(from);
    slots.setPrev(slot, prev);
    slots.setNext(slot, next);
    slots.setNext(prev, slot);
    slots.setPrev(next, slot);
    this.ages.move(from, slot);
    this.walk?.move(from, slot);
  }

  /** Forgets what is known of entries that are all gone. The slots are cleared by themselves. */
  clear(): void {
    this.ages.clear();
    this.walk?.clear();
  }

  private unlink(slot: number): void {
    const { slots } = this;
    const prev = slots.prev(slot);
    const next = slots.next(slot);
    slots.setNext(prev, next);
    slots.setPrev(next, prev);
  }
}
