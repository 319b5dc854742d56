import {
  RECORD_EXPIRES,
  RECORD_LARGE,
  RECORD_NOT_TEXT,
  RECORD_READ,
  RECORD_TAG,
  RECORD_TEXTS,
  type RecordCursor,
  headWords,
} from '../../src/shared/snapshot-format.ts';
import { type BlockPool, blockOf, wordOf } from './block-pool.ts';
import type { EntryCodec } from './entry-codec.ts';
import {
  CHAIN,
  CHAIN_ID_BYTES,
  EXPIRES,
  NOT_TEXT,
  READ,
  TAG,
  TEXTS,
  contentBytesAt,
  expiresAtMs,
  flagsOf,
  keyBytesOf,
  keyOffset,
  keyStartAt,
  packWord1,
  textLengthsAt,
  textsWord,
  valueStartAt,
} from './entry-layout.ts';
import type { SlotTable } from './slot-table.ts';

/** Up to this size a loop over words is quicker than making two views for `set`. */
const MAX_LOOP_WORDS = 128;

/** Which flag of a record stands for which flag of an entry. A gzip form, and what else can be found out again, is left out. */
const FLAGS = [
  [RECORD_EXPIRES, EXPIRES],
  [RECORD_TEXTS, TEXTS],
  [RECORD_TAG, TAG],
  [RECORD_READ, READ],
  [RECORD_NOT_TEXT, NOT_TEXT],
  [RECORD_LARGE, CHAIN],
] as const;
const RECORD_FLAGS = new Uint8Array(2 ** 11).map((_, flags) => translate(flags, 1, 0));
const ENTRY_FLAGS = new Uint16Array(2 ** 6).map((_, flags) => translate(flags, 0, 1));

function translate(flags: number, from: 0 | 1, to: 0 | 1): number {
  return FLAGS.reduce((sum, pair) => sum + ((flags & pair[from]) === 0 ? 0 : pair[to]), 0);
}

/** The flags of an entry that is made from a record. */
export function entryFlagsOf(recordFlags: number): number {
  return ENTRY_FLAGS[recordFlags];
}

/** Copies entries from their blocks into the records of a snapshot, and back. */
export class SnapshotCodec {
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private readonly codec: EntryCodec;

  constructor(blocks: BlockPool, slots: SlotTable, codec: EntryCodec) {
    this.blocks = blocks;
    this.slots = slots;
    this.codec = codec;
  }

  /** How many words the record of an entry takes. */
  recordWords(slot: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    const chainBytes = (flags & CHAIN) === 0 ? 0 : CHAIN_ID_BYTES;
    const contentBytes = contentBytesAt(words, at, flags) - chainBytes;
    return headWords(RECORD_FLAGS[flags]) + ((contentBytes + 3) >>> 2);
  }

  /** Writes the record of an entry whose value lies in its block. @returns where the next record begins. */
  write(slot: number, target: Uint32Array, to: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    const start = this.writeHead(words, at, words[at + 2], target, to);
    const contentBytes = contentBytesAt(words, at, flags);
    const length = (contentBytes + 3) >>> 2;
    copyWords(words, keyStartAt(words, at) >>> 2, target, start, length);
    const restBytes = contentBytes & 3;
    if (restBytes !== 0) target[start + length - 1] &= 2 ** (8 * restBytes) - 1;
    return start + length;
  }

  /** Writes the record of an entry with a chain, without its value. @returns where it ends. */
  writeLarge(slot: number, target: Uint32Array<ArrayBuffer>, to: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = this.writeHead(words, at, this.codec.valueBytes(slot), target, to);
    const bytes = this.blocks.bytes[blockOf(address)];
    const content = Buffer.from(target.buffer, target.byteOffset + start * 4);
    const keyStart = keyStartAt(words, at);
    const chainStart = valueStartAt(words, at);
    const end = keyStart + contentBytesAt(words, at, flagsOf(words[at + 1]));
    const keyBytes = bytes.copy(content, 0, keyStart, chainStart);
    const textBytes = bytes.copy(content, keyBytes, chainStart + CHAIN_ID_BYTES, end);
    return start + ((keyBytes + textBytes + 3) >>> 2);
  }

  /**
   * Writes an entry from a record at an allocated address, and gives the address to its slot.
   * @param check the first eight bits of the key's hash.
   */
  restore(address: number, slot: number, check: number, record: RecordCursor, source: Uint32Array): void {
    const block = blockOf(address);
    const words = this.blocks.words[block];
    const at = wordOf(address);
    const flags = ENTRY_FLAGS[record.flags];
    words[at] = slot;
    words[at + 1] = packWord1(record.keyBytes, flags, check);
    words[at + 2] = record.valueBytes;
    if (record.expiryMs !== Infinity) {
      words[at + 3] = Math.floor(record.expiryMs / 2 ** 32);
      words[at + 4] = record.expiryMs % 2 ** 32;
      this.codec.noteExpiry(block, record.expiryMs);
    }
    if ((flags & TEXTS) !== 0) words[at + textsWord(flags)] = record.textLengths;
    const from = record.keyStart >>> 2;
    copyWords(source, from, words, at + (keyOffset(flags) >>> 2), record.end - from);
    this.slots.setAddress(slot, address);
  }

  private writeHead(
    words: Uint32Array,
    at: number,
    valueBytes: number,
    target: Uint32Array,
    to: number,
  ): number {
    const flags = flagsOf(words[at + 1]);
    target[to] = keyBytesOf(words[at + 1]) | (RECORD_FLAGS[flags] << 16);
    target[to + 1] = valueBytes;
    let next = to + 2;
    if ((flags & EXPIRES) !== 0) {
      const expiryMs = expiresAtMs(words, at);
      target[next++] = Math.floor(expiryMs / 2 ** 32);
      target[next++] = expiryMs % 2 ** 32;
    }
    if ((flags & TEXTS) !== 0) target[next++] = textLengthsAt(words, at, flags);
    return next;
  }
}

function copyWords(source: Uint32Array, from: number, target: Uint32Array, to: number, length: number): void {
  if (length <= MAX_LOOP_WORDS) {
    for (let i = 0; i < length; i++) target[to + i] = source[from + i];
  } else {
    target.set(source.subarray(from, from + length), to);
  }
}
