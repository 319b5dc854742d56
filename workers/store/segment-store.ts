import { SLOT_BYTES } from '../../src/shared/segment-sizes.ts';
import type { BlockPool } from './block-pool.ts';
import { Cleaner } from './cleaner.ts';
import { EntryTable, type SegmentCounters, type SegmentOptions } from './entry-table.ts';
import type { Chain, Piece } from './chain-table.ts';
import type { EntryCodec } from './entry-codec.ts';
import { EntryWriter } from './entry-writer.ts';
import { INCOMPRESSIBLE, NOT_TEXT, PLAIN, VALUE_GZIP } from './entry-layout.ts';
import { Eviction, type EvictionReason } from './eviction.ts';
import { ExpirySweep, NOTHING_DUE } from './expiry-sweep.ts';
import { LargeValues } from './large-values.ts';
import { type KeyPage, walkKeys } from './key-walk.ts';
import type { LruList } from './lru-list.ts';
import { Maintenance } from './maintenance.ts';
import type { Metadata } from './metadata.ts';
import { AHEAD_KEYS, ReadAhead } from './read-ahead.ts';
import { type RecordBytes, type Restored, Restorer } from './restorer.ts';
import { checkBlocks, checkChains, checkList } from './segment-integrity.ts';
import { NO_SLOT } from './slot-table.ts';
import { SnapshotCodec } from './snapshot-codec.ts';
import { SnapshotSource } from './snapshot-source.ts';

export { AHEAD_KEYS, type Chain, type KeyPage, type Metadata, NOTHING_DUE, NO_SLOT, type Piece };
export type { RecordBytes, Restored };

/**
 * All entries of one shard, in strict least-recently-used order, outside the JavaScript heap. The only face of this
 * folder. Reads and writes cost the same however many entries there are. A write may have to evict the least recently used
 * entries when the ledger refuses a block. Its cost then grows with their number.
 *
 * A slot returned by `access` or `peek` stays valid until the next call that changes the segment.
 */
export class SegmentStore {
  /** Values that come and are read in pieces. `putLarge` stores them. */
  readonly largeValues: LargeValues;

  /** What a snapshot of the entries is made from. */
  readonly snapshot: SnapshotSource;
  /** Takes the entries of a snapshot. */
  readonly restorer: Restorer;

  private readonly options: SegmentOptions;
  private readonly table: EntryTable;
  private readonly blocks: BlockPool;
  private readonly codec: EntryCodec;
  private readonly list: LruList;
  private readonly cleaner: Cleaner;
  private readonly sweep: ExpirySweep;
  private readonly ahead: ReadAhead;
  private readonly eviction: Eviction;
  private readonly writer: EntryWriter;
  private readonly maintenance: Maintenance;

  constructor(options: SegmentOptions) {
    this.options = options;
    const table = new EntryTable(options);
    this.table = table;
    this.blocks = table.blocks;
    this.codec = table.codec;
    this.list = table.list;
    this.cleaner = new Cleaner(table.blocks, table.slots);
    this.sweep = new ExpirySweep(table.blocks, (slot) =>
      table.remove(slot, table.hashOfSlot(slot), 'expired'),
    );
    this.ahead = new ReadAhead(table.blocks, table.slots, table.index);
    this.eviction = new Eviction(table, this.cleaner, this.sweep, options.now);
    this.writer = new EntryWriter(options, table, this.eviction, this.cleaner);
    this.largeValues = new LargeValues(options, table, this.eviction, this.cleaner);
    const snapshotCodec = new SnapshotCodec(table.blocks, table.slots, table.codec);
    this.snapshot = new SnapshotSource(table, snapshotCodec);
    this.restorer = new Restorer(options, table, snapshotCodec);
    this.maintenance = new Maintenance(table, this.cleaner, this.sweep, options.now);
  }

  get counters(): Readonly<SegmentCounters> {
    return this.table.counters;
  }

  get entries(): number {
    return this.table.count;
  }

  /** Bytes that the entries themselves need: header, key, value, metadata, gzip form, padding and slot. */
  get liveBytes(): number {
    const { table } = this;
    return this.blocks.liveBytes + table.chains.liveBytes + table.count * SLOT_BYTES;
  }

  /** Bytes taken from the system: blocks, chains, slots, index, and memory that has not gone back yet. */
  get reservedBytes(): number {
    return this.table.reservedBytes;
  }

  /** Bytes of memory that was cleared, or of large values that are gone, and has not gone back yet. */
  get leftoverBytes(): number {
    return this.table.memory.leftoverBytes;
  }

  /** Bytes of blocks that no entry uses. */
  get fragmentedBytes(): number {
    return this.blocks.fragmentedBytes;
  }

  /** Bytes of the entries that shed orders evicted. */
  get shedBytes(): number {
    return this.eviction.shedBytes;
  }

  /** Entries that were evicted or shed, and never read since they were put. */
  get evictedUnread(): number {
    return this.eviction.unread;
  }

  /**
   * For how long the least recently used entry has been neither read nor put, at least. The true time may be up to
   * twice as long: see `AgeMarks`. 0 where there is no entry.
   */
  get oldestAgeMs(): number {
    return this.list.ages.ageMs(this.options.now());
  }

  /** As `access`, but returns the value itself, which may not be a large one. */
  get(key: string): string | undefined {
    const slot = this.access(key);
    return slot === NO_SLOT ? undefined : this.value(slot);
  }

  /** Announces a key that is about to be looked up, at most `AHEAD_KEYS` of them. */
  announce(key: string): void {
    this.ahead.add(this.table.hash(key));
  }

  /** Reads ahead for the keys that were announced. */
  readAnnounced(): void {
    this.ahead.run();
  }

  /** Looks a key up, counts the hit or miss, and makes a hit the most recently used. NO_SLOT is a miss. */
  access(key: string): number {
    const { table } = this;
    const hash = table.hash(key);
    const slot = table.lookup(key, hash);
    if (slot === NO_SLOT || this.removeIfExpired(slot, hash)) {
      table.counters.misses++;
      return NO_SLOT;
    }
    table.counters.hits++;
    this.codec.markRead(slot);
    this.list.touch(slot);
    return slot;
  }

  /** Looks a key up without counting or touching. NO_SLOT where there is none, or it has expired. */
  peek(key: string): number {
    const slot = this.table.lookup(key, this.table.hash(key));
    return slot !== NO_SLOT && this.table.isExpired(slot) ? NO_SLOT : slot;
  }

  valueBytes(slot: number): number {
    return this.codec.valueBytes(slot);
  }

  /** The chain of a large value; undefined for one that lies in its block. */
  chainOf(slot: number): Chain | undefined {
    return this.codec.chainOf(slot);
  }

  /** Bytes that the entry takes: header, key, value, metadata, gzip form, padding and slot. */
  entryBytes(slot: number): number {
    return this.codec.bytes(slot) + SLOT_BYTES;
  }

  /** Says that an entry is a copy, whose original lives on for so long when it has expired; `Infinity` for ever. */
  setLivesOn(slot: number, ms: number): void {
    this.codec.setLivesOn(slot, ms);
  }

  /** How long until the entry, or the original of a copy, expires; undefined for one that does not. */
  ttlMs(slot: number): number | undefined {
    const expiryMs = this.codec.expiryMs(slot);
    const livesOnMs = this.codec.livesOnMs(slot);
    if (expiryMs === Infinity || livesOnMs === Infinity) return undefined;
    return Math.max(0, expiryMs - this.options.now()) + livesOnMs;
  }

  value(slot: number): string {
    return this.codec.value(slot);
  }

  /** The value's bytes where they lie, not a copy: to be read before the next call that changes the segment. */
  valueView(slot: number): Buffer {
    return this.codec.valueView(slot);
  }

  /** Copies the value to `target`, from `at` on. */
  copyValue(slot: number, target: Buffer, at: number): void {
    this.codec.copyValue(slot, target, at);
  }

  /** What `put` was given; `NO_METADATA` where that was nothing. */
  metadata(slot: number): Metadata {
    return this.codec.metadata(slot);
  }

  /** False when some of the value's bytes are not ASCII. */
  isText(slot: number): boolean {
    return !this.codec.hasFlag(slot, NOT_TEXT);
  }

  /**
   * The gzip form kept beside the value, where there is one: as `valueView`, not a copy.
   * @param isOfValue whether the form of the value itself is wanted, or that of a body made from it.
   */
  gzipView(slot: number, isOfValue = false): Buffer | undefined {
    return this.codec.hasFlag(slot, VALUE_GZIP) === isOfValue ? this.codec.gzipView(slot) : undefined;
  }

  /** True when compression was tried for this entry and saved nothing. */
  isIncompressible(slot: number): boolean {
    return this.codec.hasFlag(slot, INCOMPRESSIBLE);
  }

  /** True when `markPlain` was called for this entry. */
  isPlain(slot: number): boolean {
    return this.codec.hasFlag(slot, PLAIN);
  }

  /** Remembers that the value needs no escaping in JSON, so that nobody searches it again. */
  markPlain(slot: number): void {
    this.codec.addFlag(slot, PLAIN);
  }

  /**
   * Stores an entry as the most recently used, evicting others if there is no room.
   * @param value text of one-byte characters, or the bytes.
   * @param ttlMs 0 for an entry that does not expire.
   * @param metadata costs no bytes where it is left out.
   * @returns false, and nothing changed, when an entry of this size is never stored.
   */
  put(key: string, value: string | Uint8Array, ttlMs: number, metadata?: Metadata): boolean {
    return this.writer.put(key, value, ttlMs, metadata);
  }

  /**
   * Stores a value that has come in pieces, as `put` does.
   * @param chain must be complete.
   * @returns false, and the value is dropped, when it has taken all the memory that there is for this shard.
   */
  putLarge(key: string, chain: Chain, ttlMs: number, metadata: Metadata): boolean {
    return this.writer.putLarge(key, chain, ttlMs, metadata);
  }

  /**
   * Lists keys that begin with `prefix`, from a cursor on: see `walkKeys`. It counts as no read.
   * @param isOver given the keys so far.
   */
  listKeys(prefix: string, cursor: number, isOver: (keys: number) => boolean): KeyPage {
    return walkKeys(this.table, prefix, cursor, isOver);
  }

  /** @returns whether there was such an entry. */
  delete(key: string): boolean {
    const { table } = this;
    const hash = table.hash(key);
    const slot = table.lookup(key, hash);
    // It may be still to come from a snapshot.
    if (slot === NO_SLOT) table.restoring?.add(key, hash);
    if (slot === NO_SLOT || this.removeIfExpired(slot, hash)) return false;
    this.cleaner.keepUp(table.remove(slot, hash, 'deleted'));
    return true;
  }

  /** Removes every entry. Its memory goes back step by step, in `maintain`. @returns how many there were. */
  clear(): number {
    const removed = this.table.count;
    this.table.clear();
    return removed;
  }

  /**
   * Keeps `gzip` beside the value, charged to the entry. Room is made as for a PUT, but never by evicting this entry
   * or one used more recently. If that is not enough, the form is not kept. Nor is it kept where an entry is so large
   * that all others might have to go for it. An empty `gzip` marks the entry as incompressible. Another form goes.
   * @param isOfValue see `gzipView`.
   */
  attachGzip(slot: number, gzip: Uint8Array, isOfValue = false): void {
    this.writer.attachGzip(slot, gzip, isOfValue);
  }

  /**
   * Removes least recently used entries until `wantedBytes` have gone, or a few dozen.
   * @returns the bytes in their blocks, 0 when there is no entry.
   */
  evict(wantedBytes: number, reason: EvictionReason): number {
    return this.eviction.evict(wantedBytes, reason);
  }

  /**
   * Looks for expired entries in about `budgetBytes` of blocks, and removes them.
   * @returns the bytes in their blocks, or NOTHING_DUE when no block may hold one.
   */
  removeExpired(budgetBytes: number): number {
    return this.sweep.step(this.options.now(), budgetBytes);
  }

  /** Gives back a piece of what was cleared. @returns its bytes, 0 when there is none. */
  giveBackLeftover(): number {
    return this.table.memory.giveBackLeftover();
  }

  /** Gives back the memory of a released block that is kept for the next one. */
  dropSpare(): void {
    this.blocks.dropSpare();
  }

  /** Moves up to about `budgetBytes` of entries together. @returns false when there is nothing to gain. */
  clean(budgetBytes: number): boolean {
    return this.cleaner.step(budgetBytes);
  }

  /**
   * Does one small step of what no request waits for: expired entries, dead bytes, empty slots.
   * @returns false when there is nothing left to do.
   */
  maintain(budgetBytes: number): boolean {
    this.list.ages.tick(this.options.now());
    return this.maintenance.step(budgetBytes);
  }

  /** @throws InvariantError when any part of the segment contradicts another. Costs a walk of everything. */
  checkIntegrity(): void {
    const { table } = this;
    checkList(table.list, table.slots, table.index, table.hashOfSlot);
    checkBlocks(table.blocks, table.slots);
    checkChains(table);
    table.checkLedgers();
  }

  private removeIfExpired(slot: number, hash: number): boolean {
    if (!this.table.isExpired(slot)) return false;
    this.table.remove(slot, hash, 'expired');
    return true;
  }
}
