/**
 * HalfSipHash-1-3 with a 64-bit seed and a 32-bit result, over the characters of an ASCII string.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), in its 32-bit form as the Linux
 * kernel uses it (`hsiphash`). A keyed function is needed, not only a seeded one: murmur and its kind have
 * collisions that hold under every seed, so crafted keys could fill one bucket.
 */
export function hashKey(key: string, seed0: number, seed1: number): number {
  let v0 = seed0 | 0;
  let v1 = seed1 | 0;
  let v2 = 0x6c796765 ^ seed0;
  let v3 = 0x74656462 ^ seed1;

  const length = key.length;
  const wholeWords = length & ~3;
  for (let i = 0; i <= wholeWords; i += 4) {
    let word: number;
    if (i < wholeWords) {
      word =
        key.charCodeAt(i) |
        (key.charCodeAt(i + 1) << 8) |
        (key.charCodeAt(i + 2) << 16) |
        (key.charCodeAt(i + 3) << 24);
    } else {
      // The last word holds what is left of the key and, in its top byte, the length.
      word = length << 24;
      for (let j = i; j < length; j++) word |= key.charCodeAt(j) << ((j & 3) << 3);
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
  return finish(v0, v1, v2, v3);
}

/** The same of a key that lies in a buffer: one function for both would be slower for each. */
export function hashKeyBytes(
  bytes: Uint8Array,
  start: number,
  length: number,
  seed0: number,
  seed1: number,
): number {
  let v0 = seed0 | 0;
  let v1 = seed1 | 0;
  let v2 = 0x6c796765 ^ seed0;
  let v3 = 0x74656462 ^ seed1;

  const wholeWords = length & ~3;
  for (let i = 0; i <= wholeWords; i += 4) {
    const at = start + i;
    let word: number;
    if (i < wholeWords) {
      word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    } else {
      // The last word holds what is left of the key and, in its top byte, the length.
      word = length << 24;
      for (let j = i; j < length; j++) word |= bytes[start + j] << ((j & 3) << 3);
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
  return finish(v0, v1, v2, v3);
}

/** The last three rounds, the same for both kinds of keys. */
function finish(v0: number, v1: number, v2: number, v3: number): number {
  v2 ^= 0xff;
  for (let round = 0; round < 3; round++) {
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
  }
  return (v1 ^ v3) >>> 0;
}

/** The shard that owns a key: the hash scaled to the number of shards, so that its high bits decide. */
export function shardOfHash(hash: number, shards: number): number {
  return Math.floor((hash / 2 ** 32) * shards);
}
