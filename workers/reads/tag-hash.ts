import { MAX_METADATA_TEXT_BYTES } from '../../src/shared/segment-sizes.ts';

/** What stands behind a value: two texts, and their lengths, so that no two entries are the same to the hash. */
const MAX_SUFFIX_BYTES = 2 * MAX_METADATA_TEXT_BYTES + 2;
const DIGITS = new TextEncoder().encode('0123456789abcdef');

/**
 * HalfSipHash-1-3 with a 64-bit seed and a 64-bit result, over a value, its type and encoding: see `hashKey`. It takes a
 * quarter of the time of SHA-256 for 100 bytes, since nothing is called outside of JavaScript.
 */
export class TagHash {
  private readonly bytes: Uint8Array;
  private readonly words: Int32Array;
  private readonly seed0: number;
  private readonly seed1: number;

  /** @param maxBytes the longest value. */
  constructor(maxBytes: number, [seed0, seed1]: readonly [number, number]) {
    // With room for the last word, which has the length.
    this.bytes = new Uint8Array(Math.ceil((maxBytes + MAX_SUFFIX_BYTES) / 4) * 4 + 4);
    this.words = new Int32Array(this.bytes.buffer);
    this.seed0 = seed0;
    this.seed1 = seed1;
  }

  /** @returns 16 hexadecimal digits. */
  of(value: Uint8Array, type: string, encoding: string): string {
    const { bytes, words } = this;
    bytes.set(value);
    let length = value.length;
    for (let i = 0; i < type.length; i++) bytes[length++] = type.charCodeAt(i);
    for (let i = 0; i < encoding.length; i++) bytes[length++] = encoding.charCodeAt(i);
    bytes[length++] = type.length;
    bytes[length++] = encoding.length;
    const last = length >>> 2;
    // Behind the text it has what was hashed before.
    words[last] = (words[last] & ((1 << ((length & 3) * 8)) - 1)) | (length << 24);

    let v0 = this.seed0 | 0;
    let v1 = this.seed1 ^ 0xee;
    let v2 = 0x6c796765 ^ this.seed0;
    let v3 = 0x74656462 ^ this.seed1;
    let first = 0;
    // The words, and three rounds for each half of the result.
    for (let i = 0; i < last + 7; i++) {
      const word = i <= last ? words[i] : 0;
      if (i === last + 1) v2 ^= 0xee;
      if (i === last + 4) {
        first = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    return hexOf(first, v1 ^ v3);
  }
}

/** In one call, since strings that are put together are flattened later. */
function hexOf(first: number, second: number): string {
  return String.fromCharCode(
    DIGITS[(first >>> 28) & 15],
    DIGITS[(first >>> 24) & 15],
    DIGITS[(first >>> 20) & 15],
    DIGITS[(first >>> 16) & 15],
    DIGITS[(first >>> 12) & 15],
    DIGITS[(first >>> 8) & 15],
    DIGITS[(first >>> 4) & 15],
    DIGITS[first & 15],
    DIGITS[(second >>> 28) & 15],
    DIGITS[(second >>> 24) & 15],
    DIGITS[(second >>> 20) & 15],
    DIGITS[(second >>> 16) & 15],
    DIGITS[(second >>> 12) & 15],
    DIGITS[(second >>> 8) & 15],
    DIGITS[(second >>> 4) & 15],
    DIGITS[second & 15],
  );
}
