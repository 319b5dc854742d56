/**
 * How an entry lies in its block. Entries begin at multiples of 8 bytes and follow each other without gaps,
 * so a block can be walked from its first entry to its fill mark.
 *
 *     byte  0        4         6       7     8         12          20         24
 *           ┌────────┬─────────┬───────┬─────┬─────────┬───────────┬──────────┬─────┬───────┬──────┬─────┐
 *           │ slot   │ key     │ flags │ tag │ value   │ expires   │ gzip     │ key │ value │ gzip │ pad │
 *           │ u32    │ bytes   │ u8    │ u8  │ bytes   │ at, ms    │ bytes    │     │       │      │ to  │
 *           │        │ u16     │       │     │ u32     │ 2 × u32   │ u32      │     │       │      │ 8   │
 *           └────────┴─────────┴───────┴─────┴─────────┴───────────┴──────────┴─────┴───────┴──────┴─────┘
 *                                                        if EXPIRES   if GZIP                if GZIP
 *
 * `tag` is eight bits of the key's hash: a cheap "no" before the key itself is compared.
 */
export const HEADER_BYTES = 12;
export const EXPIRY_BYTES = 8;
export const GZIP_LENGTH_BYTES = 4;
export const ALIGNMENT_BYTES = 8;

/** The entry is no more; only its length still counts, for the walk. */
export const DEAD = 1;
export const EXPIRES = 2;
export const GZIP = 4;
/** Compression was tried and saved nothing. */
export const INCOMPRESSIBLE = 8;
/** The value was seen to stand in JSON as it is, with nothing to escape. */
export const PLAIN = 16;

/** Bytes an entry takes in its block, padding included. `gzipBytes` is -1 where there is no gzip form. */
export function entryBytes(
  keyBytes: number,
  valueBytes: number,
  expires: boolean,
  gzipBytes: number,
): number {
  let bytes = HEADER_BYTES + keyBytes + valueBytes;
  if (expires) bytes += EXPIRY_BYTES;
  if (gzipBytes >= 0) bytes += GZIP_LENGTH_BYTES + gzipBytes;
  return (bytes + (ALIGNMENT_BYTES - 1)) & ~(ALIGNMENT_BYTES - 1);
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
  return (
    HEADER_BYTES +
    ((flags & EXPIRES) !== 0 ? EXPIRY_BYTES : 0) +
    ((flags & GZIP) !== 0 ? GZIP_LENGTH_BYTES : 0)
  );
}

/** At which byte of its block the key begins of the entry at word index `at`. */
export function keyStartAt(words: Uint32Array, at: number): number {
  return at * 4 + keyOffset(flagsOf(words[at + 1]));
}

/** At which byte of its block the value begins of the entry at word index `at`. */
export function valueStartAt(words: Uint32Array, at: number): number {
  return keyStartAt(words, at) + keyBytesOf(words[at + 1]);
}

/** Bytes the entry at word index `at` takes in its block. */
export function entryBytesAt(words: Uint32Array, at: number): number {
  const word1 = words[at + 1];
  const flags = flagsOf(word1);
  return entryBytes(
    keyBytesOf(word1),
    words[at + 2],
    (flags & EXPIRES) !== 0,
    (flags & GZIP) !== 0 ? gzipBytesAt(words, at, flags) : -1,
  );
}

/** Time of expiry in ms since the epoch, `Infinity` for an entry that does not expire. */
export function expiresAtMs(words: Uint32Array, at: number): number {
  if ((flagsOf(words[at + 1]) & EXPIRES) === 0) return Infinity;
  return words[at + 3] * 2 ** 32 + words[at + 4];
}

export function gzipBytesAt(words: Uint32Array, at: number, flags: number): number {
  return words[at + 3 + ((flags & EXPIRES) !== 0 ? 2 : 0)];
}
