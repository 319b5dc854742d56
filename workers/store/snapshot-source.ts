import type { Chain } from './chain-table.ts';
import type { EntryTable } from './entry-table.ts';
import { NO_SLOT } from './slot-table.ts';
import type { SnapshotCodec } from './snapshot-codec.ts';
import { SnapshotWalk } from './snapshot-walk.ts';

/** The entries of a segment, one after the other, as a snapshot has them: hot to cold, each once. */
export class SnapshotSource {
  private readonly table: EntryTable;
  private readonly codec: SnapshotCodec;

  constructor(table: EntryTable, codec: SnapshotCodec) {
    this.table = table;
    this.codec = codec;
  }

  /** Begins a walk. One that is under way is given up. */
  begin(): void {
    this.table.list.walk = new SnapshotWalk(this.table.slots);
  }

  end(): void {
    this.table.list.walk = undefined;
  }

  get isOver(): boolean {
    return this.table.list.walk?.isOver ?? true;
  }

  /** Of the walk: entries of a later pass are hotter than those of the ones before. */
  get pass(): number {
    return this.table.list.walk?.pass ?? 0;
  }

  /** Goes one entry further. @returns its slot, or NO_SLOT where there is nothing to write. */
  step(): number {
    const slot = this.table.list.walk?.step() ?? NO_SLOT;
    return slot !== NO_SLOT && this.table.isExpired(slot) ? NO_SLOT : slot;
  }

  /** The chain of an entry, undefined where its value lies in its block. */
  chainOf(slot: number): Chain | undefined {
    return this.table.chainOf(slot);
  }

  /** How many words the record of an entry takes. */
  recordWords(slot: number): number {
    return this.codec.recordWords(slot);
  }

  /** Writes the record of an entry; of one with a chain, without its value. @returns where it ends. */
  write(slot: number, words: Uint32Array<ArrayBuffer>, at: number): number {
    return this.table.chainOf(slot) === undefined
      ? this.codec.write(slot, words, at)
      : this.codec.writeLarge(slot, words, at);
  }
}
