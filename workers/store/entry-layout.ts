import { textBytes } from './metadata.ts';

/**
 * How an entry lies in its block. Entries begin at multiples of 8 bytes and follow each other without gaps,
 * so a block can be walked from its first entry to its fill mark.
 *
 *     byte  0        4         6       7     8         12
 *           ┌────────┬─────────┬───────┬─────┬─────────┬──────────┬─────┬───────┬──────────┬──────┬─────┐
 *           │ slot   │ key     │ flags │ tag │ value   │ optional │ key │ value │ texts of │ gzip │ pad │
 *           │ u32    │ bytes   │ u8    │ u8  │ bytes   │ words    │     │       │ metadata │      │ to  │
 *           │        │ u16     │       │     │ u32     │ u32 each │     │       │          │      │ 8   │
 *           └────────┴─────────┴───────┴─────┴─────────┴──────────┴─────┴───────┴──────────┴──────┴─────┘
 *
 * `tag` is eight bits of the key's hash: a cheap "no" before the key itself is compared. The optional words stand in
 * this order, each only where its flag is set, so an entry pays for nothing that it does not have:
 *
 *     EXPIRES   2 words   time of expiry in ms since the epoch, high word first
 *     TEXTS     1 word    the lengths of content type, content encoding and two headers, a byte each
 *     VERSION   1 word    the version for conditional requests
 *     GZIP      1 word    bytes of the gzip form
 */
export const HEADER_BYTES = 12;
export const ALIGNMENT_BYTES = 8;

/** The entry is removed. Only its length still counts, for the walk. */
export const DEAD = 1;
export const EXPIRES = 2;
export const GZIP = 4;
/** Compression was tried and saved nothing. */
export const INCOMPRESSIBLE = 8;
/** The value was searched and needs no escaping in JSON. */
export const PLAIN = 16;
export const TEXTS = 32;
export const VERSION = 64;
/** The entry was read since it was put. */
export const READ = 128;

const WORDS_OF_FLAG = [
  [EXPIRES, 2],
  [TEXTS, 1],
  [VERSION, 1],
  [GZIP, 1],
] as const;

/** Where the key begins, for each combination of flags: looked up for every access, so made once. */
const KEY_OFFSETS = Array.from({ length: 256 }, (_, flags) =>
  WORDS_OF_FLAG.reduce(
    (bytes, [flag, words]) => bytes + ((flags & flag) !== 0 ? words * 4 : 0),
    HEADER_BYTES,
  ),
);

/**
 * Bytes an entry takes in its block, padding included.
 * @param contentBytes of key, value, texts and gzip form together.
 */
export function entryBytes(flags: number, contentBytes: number): number {
  return (KEY_OFFSETS[flags] + contentBytes + (ALIGNMENT_BYTES - 1)) & ~(ALIGNMENT_BYTES - 1);
}

export function keyBytesOf(word1: number): number {
  return word1 & 0xffff;
}

export function flagsOf(word1: number): number {
  return (word1 >>> 16) & 0xff;
}

export function tagOf(word1: number): number {
  return word1 >>> 24;
}

export function packWord1(keyBytes: number, flags: number, tag: number): number {
  return (keyBytes | (flags << 16) | (tag << 24)) >>> 0;
}

/** Where the key begins, counted from the start of the entry. */
export function keyOffset(flags: number): number {
  return KEY_OFFSETS[flags];
}

/** At which byte of its block the key begins of the entry at word index `at`. */
export function keyStartAt(words: Uint32Array, at: number): number {
  return at * 4 + KEY_OFFSETS[flagsOf(words[at + 1])];
}

/** At which byte of its block the value begins of the entry at word index `at`. */
export function valueStartAt(words: Uint32Array, at: number): number {
  return keyStartAt(words, at) + keyBytesOf(words[at + 1]);
}

/** Bytes the entry at word index `at` takes in its block. */
export function entryBytesAt(words: Uint32Array, at: number): number {
  const flags = flagsOf(words[at + 1]);
  const gzipBytes = (flags & GZIP) !== 0 ? gzipBytesAt(words, at, flags) : 0;
  return entryBytes(flags, contentBytesAt(words, at, flags) + gzipBytes);
}

/** Bytes of key, value and texts together. */
export function contentBytesAt(words: Uint32Array, at: number, flags: number): number {
  const bytes = keyBytesOf(words[at + 1]) + words[at + 2];
  return (flags & TEXTS) !== 0 ? bytes + textBytes(textLengthsAt(words, at, flags)) : bytes;
}

/** Time of expiry in ms since the epoch, `Infinity` for an entry that does not expire. */
export function expiresAtMs(words: Uint32Array, at: number): number {
  if ((flagsOf(words[at + 1]) & EXPIRES) === 0) return Infinity;
  return words[at + 3] * 2 ** 32 + words[at + 4];
}

/** The packed lengths of the texts, 0 where there are none. */
export function textLengthsAt(words: Uint32Array, at: number, flags: number): number {
  return (flags & TEXTS) !== 0 ? words[at + textsWord(flags)] : 0;
}

export function versionAt(words: Uint32Array, at: number, flags: number): number {
  return (flags & VERSION) !== 0 ? words[at + versionWord(flags)] : 0;
}

/** Only for an entry that has a gzip form. */
export function gzipBytesAt(words: Uint32Array, at: number, flags: number): number {
  return words[at + gzipWord(flags)];
}

/** Which word of its entry holds the lengths of the texts. */
export function textsWord(flags: number): number {
  return KEY_OFFSETS[flags & EXPIRES] >>> 2;
}

/** Which word of its entry holds the version. */
export function versionWord(flags: number): number {
  return KEY_OFFSETS[flags & (EXPIRES | TEXTS)] >>> 2;
}

/** Which word of its entry holds the length of the gzip form: the last one before the key. */
export function gzipWord(flags: number): number {
  return (KEY_OFFSETS[flags] >>> 2) - 1;
}
