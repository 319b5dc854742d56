import { crc32 } from 'node:zlib';
import { TAG_CHARACTERS } from './segment-sizes.ts';

/**
 * What a snapshot file looks like: see docs/snapshot-format.md. All numbers are unsigned and little-endian.
 *
 *     file      a section of kind HEAD, then the others; each begins at a multiple of ALIGNMENT_BYTES
 *     section   a header of HEADER_BYTES, then its body
 *     header    magic:4  kind:1  pass:1  shard:2  body length:4  entries:4  checksum of the body:4  0:8  checksum of all this:4
 *     record    key length:2  flags:2  value length:4  [deadline, high word:4  low word:4]  [lengths of four texts: 1 each]
 *               key ‖ value ‖ texts ‖ entity tag, padded with zeros to a multiple of 4
 *
 * A record is one entry. The value of a LARGE record is not in it: it follows in sections of kind PIECE.
 */
export const HEADER_BYTES = 32;
export const ALIGNMENT_BYTES = 4096;
/** "KVS" and the version of the format. */
export const MAGIC = 0x3153564b;
/** How large the body of a section of several records is at the most. A longer record has a section of its own. */
export const SECTION_BYTES = 2 ** 20 - HEADER_BYTES;

/** Longer than any record: an entry in a block is shorter than that. */
const MAX_BODY_BYTES = 16 * 2 ** 20;

/** The first section. Its body says in words what the file is. */
export const HEAD = 0x68;
/** Records, hot to cold. */
export const RECORDS = 0x72;
/** One LARGE record, whose value follows. */
export const LARGE_RECORD = 0x6c;
/** A part of the value of the LARGE_RECORD before. */
export const PIECE = 0x70;
/** The last section. It says that the file is complete. */
export const END = 0x65;
const KINDS: ReadonlySet<number> = new Set([HEAD, RECORDS, LARGE_RECORD, PIECE, END]);

export const RECORD_EXPIRES = 1;
export const RECORD_TEXTS = 2;
export const RECORD_TAG = 4;
/** The entry was read since it was put. */
export const RECORD_READ = 8;
/** Not all bytes of the value are ASCII. */
export const RECORD_NOT_TEXT = 16;
export const RECORD_LARGE = 32;
const ALL_FLAGS = 63;

const MAX_PASS = 255;

export interface SectionHeader {
  readonly kind: number;
  /** Entries that were used while the snapshot was written come in a later pass. They are the hotter ones. */
  readonly pass: number;
  readonly shard: number;
  readonly bodyBytes: number;
  readonly entries: number;
  /** Of the body. */
  readonly checksum: number;
}

/** Writes the header of a section whose body lies behind it. @param section header and body. */
export function sealSection(
  section: Uint8Array,
  head: Pick<SectionHeader, 'kind' | 'pass' | 'shard' | 'entries'>,
): void {
  const view = new DataView(section.buffer, section.byteOffset, HEADER_BYTES);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, head.kind);
  view.setUint8(5, Math.min(head.pass, MAX_PASS));
  view.setUint16(6, head.shard, true);
  view.setUint32(8, section.length - HEADER_BYTES, true);
  view.setUint32(12, head.entries, true);
  view.setUint32(16, crc32(section.subarray(HEADER_BYTES)), true);
  view.setFloat64(20, 0, true);
  view.setUint32(28, crc32(section.subarray(0, 28)), true);
}

/** @returns undefined where the bytes are not the whole header of a section. */
export function readHeader(bytes: Uint8Array): SectionHeader | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(28, true) !== crc32(bytes.subarray(0, 28))) {
    return undefined;
  }
  const kind = view.getUint8(4);
  if (!KINDS.has(kind) || view.getUint32(8, true) > MAX_BODY_BYTES) return undefined;
  return {
    kind,
    pass: view.getUint8(5),
    shard: view.getUint16(6, true),
    bodyBytes: view.getUint32(8, true),
    entries: view.getUint32(12, true),
    checksum: view.getUint32(16, true),
  };
}

export function isWhole(body: Uint8Array, { checksum }: SectionHeader): boolean {
  return crc32(body) === checksum;
}

/** Where the section behind one of this size begins. */
export function alignedBytes(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

/** How many words a record has before its key. */
export function headWords(flags: number): number {
  return 2 + ((flags & RECORD_EXPIRES) === 0 ? 0 : 2) + ((flags & RECORD_TEXTS) === 0 ? 0 : 1);
}

/** One record, as it lies in the words of a section's body. Made once, and moved from record to record. */
export class RecordCursor {
  flags = 0;
  keyBytes = 0;
  valueBytes = 0;
  /** In ms since the epoch; Infinity for an entry that does not expire. */
  expiryMs = Infinity;
  /** The packed lengths of the texts. */
  textLengths = 0;
  /** Bytes of the texts and of the entity tag. */
  textBytes = 0;
  /** Where the key begins, in bytes. */
  keyStart = 0;
  /** Where the next record begins, in words. */
  end = 0;

  /** Moves to the record at a word. @returns false where there is no whole record. */
  moveTo(words: Uint32Array, at: number): boolean {
    if (at + 2 > words.length) return false;
    const flags = words[at] >>> 16;
    const head = headWords(flags);
    if (flags > ALL_FLAGS || at + head > words.length) return false;
    this.flags = flags;
    this.keyBytes = words[at] & 0xffff;
    this.valueBytes = words[at + 1];
    this.expiryMs = (flags & RECORD_EXPIRES) === 0 ? Infinity : words[at + 2] * 2 ** 32 + words[at + 3];
    const lengths = (flags & RECORD_TEXTS) === 0 ? 0 : words[at + head - 1];
    this.textLengths = lengths;
    this.textBytes =
      (lengths & 0xff) +
      ((lengths >>> 8) & 0xff) +
      ((lengths >>> 16) & 0xff) +
      (lengths >>> 24) +
      ((flags & RECORD_TAG) === 0 ? 0 : TAG_CHARACTERS);
    this.keyStart = (at + head) * 4;
    const valueBytes = (flags & RECORD_LARGE) === 0 ? this.valueBytes : 0;
    const contentBytes = this.keyBytes + valueBytes + this.textBytes;
    this.end = at + head + Math.ceil(contentBytes / 4);
    return this.keyBytes > 0 && this.end <= words.length;
  }
}
