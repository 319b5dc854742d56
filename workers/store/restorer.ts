import { RECORD_LARGE, RecordCursor } from '../../src/shared/snapshot-format.ts';
import {
  BLOCK_CHARGE_BYTES,
  EMPTY_SEGMENT_BYTES,
  blockChargeBytes,
  chainChargeBytes,
  guaranteeFor,
} from '../../src/shared/segment-sizes.ts';
import { NO_ADDRESS } from './block-pool.ts';
import type { Chain } from './chain-table.ts';
import { chainIdText, entryFlags } from './entry-codec.ts';
import { CHAIN, CHAIN_ID_BYTES, MAX_KEY_BYTES, NOT_TEXT, READ, entryBytes } from './entry-layout.ts';
import type { EntryTable, SegmentOptions } from './entry-table.ts';
import { unpackMetadata } from './metadata.ts';
import { AHEAD_KEYS, ReadAhead } from './read-ahead.ts';
import { Restoring } from './restoring.ts';
import { NO_SLOT } from './slot-table.ts';
import { type SnapshotCodec, entryFlagsOf } from './snapshot-codec.ts';

/** What becomes of an entry that is read from a snapshot. */
export type Restored = 'loaded' | 'superseded' | 'expired' | 'keptOut';

/** The body of a section of a snapshot: the same bytes twice. */
export interface RecordBytes {
  readonly words: Uint32Array;
  readonly bytes: Buffer;
}

/** A large value that is being read. */
interface ComingValue {
  readonly head: RecordBytes;
  readonly chain: Chain;
}

/**
 * Puts the entries of a snapshot behind those that are there, in the order in which they come: each is colder than the one
 * before. It evicts nothing: when there is no room, nothing more is taken.
 */
export class Restorer {
  /** Entries that have come from a snapshot. */
  loaded = 0;
  private readonly record = new RecordCursor();
  private readonly options: SegmentOptions;
  private readonly table: EntryTable;
  private readonly codec: SnapshotCodec;
  private coming: ComingValue | undefined;
  private readonly ahead: ReadAhead;
  /** Of a few records: where they begin, and the hashes of their keys. */
  private readonly starts = new Uint32Array(AHEAD_KEYS);
  private readonly hashes = new Uint32Array(AHEAD_KEYS);
  private expected = 0;
  private slot = NO_SLOT;
  private address = NO_ADDRESS;

  constructor(options: SegmentOptions, table: EntryTable, codec: SnapshotCodec) {
    this.options = options;
    this.table = table;
    this.codec = codec;
    this.ahead = new ReadAhead(table.blocks, table.slots, table.index);
  }

  /** Whether entries of a snapshot are taken. */
  get isOpen(): boolean {
    return this.table.restoring?.isOpen ?? false;
  }

  /** To be called before the first request: from now on what goes is remembered. */
  begin(): void {
    this.table.restoring = new Restoring(this.table.count === 0);
  }

  end(): void {
    this.dropComing();
    this.table.restoring?.end();
    this.table.restoring = undefined;
  }

  /** Nothing more is taken when memory is about to be shed. To be called now and then. */
  checkRoom(): void {
    if (this.options.ledger.isOverMargin) this.close();
  }

  /** So many entries are still to come, at the most. */
  expect(entries: number): void {
    this.expected = entries;
  }

  /**
   * Restores the entries of a few records.
   * @param at where the first of them begins.
   * @param counts to which is added what becomes of them.
   * @returns where the next one begins; the end of the words where there is no whole record.
   */
  take(source: RecordBytes, at: number, counts: Record<Restored, number>): number {
    this.dropComing();
    const { record, starts } = this;
    const { words } = source;
    const { restoring } = this.table;
    let count = 0;
    let next = at;
    while (count < AHEAD_KEYS && next < words.length) {
      // What follows cannot be read either.
      if (!record.moveTo(words, next) || (record.flags & RECORD_LARGE) !== 0) {
        next = words.length;
        break;
      }
      starts[count] = next;
      next = record.end;
      const hash = this.hashOf(source);
      this.hashes[count++] = hash;
      if (restoring?.mayKnow(hash)) this.ahead.add(hash);
      else this.ahead.readHead(hash);
    }
    this.ahead.run();
    for (let i = 0; i < count; i++) {
      record.moveTo(words, starts[i]);
      const hash = this.hashes[i];
      counts[this.refusal(source, hash) ?? (this.store(source, hash) ? 'loaded' : 'keptOut')]++;
    }
    return next;
  }

  /** Begins an entry whose value comes in pieces. @returns what has become of it; undefined while that is open. */
  beginLarge(source: RecordBytes): Restored | undefined {
    this.dropComing();
    const { record, options } = this;
    if (!record.moveTo(source.words, 0) || (record.flags & RECORD_LARGE) === 0) return 'keptOut';
    const why = this.refusal(source, this.hashOf(source));
    if (why !== undefined) return why;
    const fixedBytes = EMPTY_SEGMENT_BYTES + BLOCK_CHARGE_BYTES;
    if (chainChargeBytes(record.valueBytes) + fixedBytes > options.ledger.most) return 'keptOut';
    this.coming = { head: source, chain: this.table.chains.begin() };
    return undefined;
  }

  /** Takes a part of a large value, with its buffer. @returns as `beginLarge`. */
  takePiece(buffer: ArrayBuffer): Restored | undefined {
    const { coming, record, table } = this;
    if (!coming || buffer.byteLength === 0) return undefined;
    const { head, chain } = coming;
    const hasRoom = chain.state === 'growing' && table.memory.tryReserve(blockChargeBytes(buffer.byteLength));
    if (!hasRoom) {
      this.close();
      this.dropComing();
      return 'keptOut';
    }
    table.chains.add(chain, { buffer, bytes: buffer.byteLength });
    if (!record.moveTo(head.words, 0) || chain.bytes < record.valueBytes) return undefined;
    // It may have been put meanwhile.
    const why = chain.bytes > record.valueBytes ? 'keptOut' : this.refusal(head, this.hashOf(head));
    if (why !== undefined) {
      this.dropComing();
      return why;
    }
    this.coming = undefined;
    return this.storeLarge(coming) ? 'loaded' : 'keptOut';
  }

  private hashOf({ bytes }: RecordBytes): number {
    const { keyStart, keyBytes } = this.record;
    return this.table.hashBytes(bytes, keyStart, keyBytes);
  }

  private keyOf({ bytes }: RecordBytes): string {
    const { keyStart, keyBytes } = this.record;
    return bytes.toString('latin1', keyStart, keyStart + keyBytes);
  }

  /** Why the entry of the record is not to be stored, if it is not. @param hash of its key. */
  private refusal(source: RecordBytes, hash: number): Restored | undefined {
    const { record, table, options } = this;
    const { restoring } = table;
    if (!restoring?.isOpen || record.keyBytes > MAX_KEY_BYTES) return 'keptOut';
    if (record.expiryMs !== Infinity && record.expiryMs <= options.now()) return 'expired';
    // Most keys are new. Those are not looked up, and no string is made of them.
    if (!restoring.mayKnow(hash)) return undefined;
    if (!restoring.hasGone && !table.mayHave(record.keyBytes, hash)) return undefined;
    const key = this.keyOf(source);
    const isThere = table.lookup(key, hash) !== NO_SLOT;
    return isThere || restoring.isGone(key) ? 'superseded' : undefined;
  }

  /** @returns false where it is too large, or there is no room. */
  private store({ words }: RecordBytes, hash: number): boolean {
    const { record, table } = this;
    const contentBytes = record.keyBytes + record.valueBytes + record.textBytes;
    const bytes = entryBytes(entryFlagsOf(record.flags), contentBytes);
    if (guaranteeFor(bytes) > this.options.ledger.guarantee || !this.allocate(bytes)) return false;
    table.index.growFor(table.count + this.expected);
    this.codec.restore(this.address, this.slot, hash >>> 24, record, words);
    table.insertLeastRecent(hash, this.slot);
    this.loaded++;
    return true;
  }

  private storeLarge({ head, chain }: ComingValue): boolean {
    const { record, table } = this;
    const key = this.keyOf(head);
    const hash = table.hash(key);
    const keyEnd = record.keyStart + record.keyBytes;
    const text = head.bytes.toString('latin1', keyEnd, keyEnd + record.textBytes);
    const metadata = unpackMetadata(text, record.textLengths, false);
    const flags = entryFlags(record.expiryMs !== Infinity, metadata);
    if (!this.allocate(entryBytes(flags, key.length + CHAIN_ID_BYTES + text.length))) {
      table.chains.drop(chain);
      return false;
    }
    const value = chainIdText(table.chains.store(chain));
    table.codec.write(this.address, this.slot, key, hash >>> 24, value, record.expiryMs, metadata);
    table.codec.addFlag(this.slot, CHAIN | NOT_TEXT | (entryFlagsOf(record.flags) & READ));
    table.insertLeastRecent(hash, this.slot);
    this.loaded++;
    return true;
  }

  /** Finds a slot and an address without evicting anything. If there is none, nothing more is taken. */
  private allocate(bytes: number): boolean {
    const { table } = this;
    if (table.tryReservePlace()) {
      this.slot = table.slots.take();
      this.address = this.slot === NO_SLOT ? NO_ADDRESS : table.blocks.allocate(bytes);
      if (this.address !== NO_ADDRESS) return true;
      if (this.slot !== NO_SLOT) table.slots.give(this.slot);
      table.releasePlace();
    }
    this.close();
    return false;
  }

  private close(): void {
    this.table.restoring?.close();
  }

  private dropComing(): void {
    if (this.coming) this.table.chains.drop(this.coming.chain);
    this.coming = undefined;
  }
}
