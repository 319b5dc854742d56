import { describe, expect, test } from 'vitest';
import { hashKey, hashKeyBytes, shardOfHash } from '../../src/shared/key-hash.ts';

/** Of the Linux kernel's own test of `hsiphash` on 32 bits: the hash of the bytes 0, 1, 2, … of each length. */
const KERNEL_SEED = [0x03020100, 0x07060504] as const;
const KERNEL_VECTORS = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1,
  0xc839caed, 0xe4fa32cf, 0x959246ee, 0x6b28096c, 0x66dd9cd6, 0x16658a7c, 0xd0257b04, 0x8b31d501, 0x2b1cd04b,
];

const KEYS = Array.from({ length: 100_000 }, (_, i) => `user:${i}`);

test('a key in a buffer has the same hash', () => {
  for (const key of ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'é\xff\0', ...KEYS.slice(0, 1000)]) {
    const bytes = Buffer.from(`--${key}--`, 'latin1');
    expect(hashKeyBytes(bytes, 2, key.length, 17, 4711)).toBe(hashKey(key, 17, 4711));
  }
});

describe('hashKey', () => {
  test.each(KERNEL_VECTORS.map((expected, length) => ({ length, expected })))(
    'is HalfSipHash-1-3 for $length bytes',
    ({ length, expected }) => {
      const key = String.fromCharCode(...Array.from({ length }, (_, i) => i));
      expect(hashKey(key, ...KERNEL_SEED)).toBe(expected);
    },
  );

  test('depends on both words of the seed', () => {
    const hashes = [hashKey('key', 1, 2), hashKey('key', 2, 2), hashKey('key', 1, 1)];
    expect(new Set(hashes).size).toBe(3);
  });

  test('hardly ever gives two similar keys the same hash', () => {
    const hashes = new Set(KEYS.map((key) => hashKey(key, 17, 4711)));
    // Among 100,000 of 2^32, about one pair is to be expected.
    expect(hashes.size).toBeGreaterThan(KEYS.length - 10);
  });
});

describe('shardOfHash', () => {
  test.each([1, 2, 3, 4, 7, 64])('shares similar keys out evenly over %i shards', (shards) => {
    const counts = Array.from({ length: shards }, () => 0);
    for (const key of KEYS) counts[shardOfHash(hashKey(key, 3, 5), shards)]++;
    const mean = KEYS.length / shards;
    // Six standard deviations of a fair draw.
    const slack = 6 * Math.sqrt(mean);
    for (const count of counts) expect(Math.abs(count - mean)).toBeLessThanOrEqual(slack);
  });

  test('stays in range at both ends', () => {
    expect(shardOfHash(0, 64)).toBe(0);
    expect(shardOfHash(2 ** 32 - 1, 64)).toBe(63);
  });
});
