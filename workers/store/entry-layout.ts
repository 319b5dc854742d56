import { TAG_CHARACTERS } from '../../src/shared/segment-sizes.ts';
import { textBytes } from './metadata.ts';

/**
 * How an entry lies in its block. Entries begin at multiples of 8 bytes and follow each other without gaps,
 * so a block can be walked from its first entry to its fill mark.
 *
 *     byte  0        4                         8         12
 *           ┌────────┬─────────┬───────┬───────┬─────────┬──────────┬─────┬───────┬──────────┬──────┬─────┐
 *           │ slot   │ key     │ flags │ check │ value   │ optional │ key │ value │ texts of │ gzip │ pad │
 *           │ u32    │ bytes   │       │       │ bytes   │ words    │     │       │ metadata │      │ to  │
 *           │        │ 13 bits │ 11    │ 8     │ u32     │ u32 each │     │       │          │      │ 8   │
 *           └────────┴─────────┴───────┴───────┴─────────┴──────────┴─────┴───────┴──────────┴──────┴─────┘
 *
 * `check` is eight bits of the key's hash: a cheap "no" before the key itself is compared. The optional words stand in
 * this order, each only where its flag is set, so an entry pays for nothing that it does not have:
 *
 *     EXPIRES   2 words   time of expiry in ms since the epoch, high word first; the first 20 of its bits are for copies
 *     TEXTS     1 word    the lengths of content type, content encoding and two headers, a byte each
 *     GZIP      1 word    bytes of the gzip form
 *
 * The texts of the metadata end with the entity tag where TAG is set.
 */
/** Counted in the size limit of an entry: see `MAX_ENTRY_OVERHEAD_BYTES`. */
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
export const TAG = 64;
/** The entry was read since it was put. */
export const READ = 128;
/** Not all bytes of the value are ASCII. */
export const NOT_TEXT = 256;
/** The gzip form is that of the value itself, not of a body made from it. */
export const VALUE_GZIP = 512;
/** The value lies in a chain. What stands in its place here is the chain's number, in `CHAIN_ID_BYTES`. */
export const CHAIN = 1024;
export const CHAIN_ID_BYTES = 4;

const KEY_BITS = 13;
const KEY_MASK = 2 ** KEY_BITS - 1;
const FLAG_BITS = 11;
const FLAG_MASK = 2 ** FLAG_BITS - 1;
/** Longer keys cannot be stored. */
export const MAX_KEY_BYTES = KEY_MASK;

/** Bits of the high word of a time of expiry that are time: enough for five hundred years. */
const EXPIRY_HIGH_BITS = 12;
const EXPIRY_HIGH_MASK = 2 ** EXPIRY_HIGH_BITS - 1;
/** What is kept of how long the original of a copy lives on: this, for ever. */
const LIVES_FOR_EVER = 2 ** (32 - EXPIRY_HIGH_BITS) - 1;
/** Below this, seconds. From this on, steps: six days and more are kept to a quarter of an hour. */
const FIRST_STEP = 2 ** 19;
const STEP_SECONDS = 1024;

const WORDS_OF_FLAG = [
  [EXPIRES, 2],
  [TEXTS, 1],
  [GZIP, 1],
] as const;

/** Where the key begins, for each combination of flags: looked up for every access, so made once. */
const KEY_OFFSETS = Array.from({ length: FLAG_MASK + 1 }, (_, flags) =>
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
  return word1 & KEY_MASK;
}

export function flagsOf(word1: number): number {
  return (word1 >>> KEY_BITS) & FLAG_MASK;
}

export function checkOf(word1: number): number {
  return word1 >>> (KEY_BITS + FLAG_BITS);
}

export function packWord1(keyBytes: number, flags: number, check: number): number {
  return (keyBytes | (flags << KEY_BITS) | (check << (KEY_BITS + FLAG_BITS))) >>> 0;
}

/** Whether an entry has a key of this length and with this check. */
export function mayHaveKey(word1: number, keyBytes: number, check: number): boolean {
  return (word1 & ~(FLAG_MASK << KEY_BITS)) >>> 0 === packWord1(keyBytes, 0, check);
}

/** Sets a flag of the entry at word index `at`. */
export function setFlagAt(words: Uint32Array, at: number, flag: number): void {
  words[at + 1] |= flag << KEY_BITS;
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

/** Bytes of key, value and all texts together. */
export function contentBytesAt(words: Uint32Array, at: number, flags: number): number {
  const bytes = keyBytesOf(words[at + 1]) + words[at + 2];
  return (flags & (TEXTS | TAG)) === 0 ? bytes : bytes + allTextBytesAt(words, at, flags);
}

/** Bytes of the texts, the entity tag included. */
function allTextBytesAt(words: Uint32Array, at: number, flags: number): number {
  return textBytes(textLengthsAt(words, at, flags)) + ((flags & TAG) !== 0 ? TAG_CHARACTERS : 0);
}

/** Time of expiry in ms since the epoch, `Infinity` for an entry that does not expire. */
export function expiresAtMs(words: Uint32Array, at: number): number {
  if ((flagsOf(words[at + 1]) & EXPIRES) === 0) return Infinity;
  return (words[at + 3] & EXPIRY_HIGH_MASK) * 2 ** 32 + words[at + 4];
}

/** For how many seconds the original of a copy lives on when the copy has expired; `Infinity` for ever. */
export function livesOnAt(words: Uint32Array, at: number): number {
  if ((flagsOf(words[at + 1]) & EXPIRES) === 0) return 0;
  const kept = words[at + 3] >>> EXPIRY_HIGH_BITS;
  if (kept === LIVES_FOR_EVER) return Infinity;
  return kept < FIRST_STEP ? kept : (kept - FIRST_STEP) * STEP_SECONDS;
}

/** Rounds down. Only for an entry that expires. @param seconds `Infinity` for ever. */
export function setLivesOnAt(words: Uint32Array, at: number, seconds: number): void {
  let kept = Math.floor(seconds);
  if (seconds === Infinity) kept = LIVES_FOR_EVER;
  else if (kept >= FIRST_STEP) {
    kept = Math.min(LIVES_FOR_EVER - 1, FIRST_STEP + Math.floor(seconds / STEP_SECONDS));
  }
  words[at + 3] = ((words[at + 3] & EXPIRY_HIGH_MASK) | (kept << EXPIRY_HIGH_BITS)) >>> 0;
}

/** The packed lengths of the texts, 0 where there are none. */
export function textLengthsAt(words: Uint32Array, at: number, flags: number): number {
  return (flags & TEXTS) !== 0 ? words[at + textsWord(flags)] : 0;
}

/** Only for an entry that has a gzip form. */
export function gzipBytesAt(words: Uint32Array, at: number, flags: number): number {
  return words[at + gzipWord(flags)];
}

/** Which word of its entry holds the lengths of the texts. */
export function textsWord(flags: number): number {
  return KEY_OFFSETS[flags & EXPIRES] >>> 2;
}

/** Which word of its entry holds the length of the gzip form: the last one before the key. */
export function gzipWord(flags: number): number {
  return (KEY_OFFSETS[flags] >>> 2) - 1;
}
