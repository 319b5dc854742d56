import { assert, property, record, string, uint8Array } from 'fast-check';
import { expect, test } from 'vitest';
import { printedSeed } from '../../support/random.ts';
import { entityTag } from '../../../workers/reads/entity-tag.ts';
import { TagHash } from '../../../workers/reads/tag-hash.ts';

const MAX_BYTES = 60;
const TEXTS = { contentType: 'text/plain', contentEncoding: '' };

/** How many bits differ. */
function flipped(a: string, b: string): number {
  return (BigInt(`0x${a}`) ^ BigInt(`0x${b}`)).toString(2).replaceAll('0', '').length;
}

test('no two of many values that are nearly the same have one tag', () => {
  const hash = new TagHash(MAX_BYTES, [1, 2]);
  const tags = new Set<string>();
  let count = 0;
  for (let length = 0; length <= MAX_BYTES; length++) {
    const value = new Uint8Array(length);
    for (let bit = 0; bit < length * 8; bit++) {
      value[bit >>> 3] ^= 1 << (bit & 7);
      for (const suffix of ['b', 'bb']) tags.add(hash.of(value, suffix, ''));
      count += 2;
      value[bit >>> 3] ^= 1 << (bit & 7);
    }
  }
  expect(tags.size).toBe(count);
  for (const tag of tags) expect(tag).toMatch(/^[\da-f]{16}$/);
});

test('each bit of a value and of the seed turns half of the bits of the tag', () => {
  const value = new Uint8Array(MAX_BYTES).fill(7);
  const tag = new TagHash(MAX_BYTES, [1, 2]).of(value, 'a', '');
  const turned: number[] = [];
  for (let bit = 0; bit < MAX_BYTES * 8; bit++) {
    value[bit >>> 3] ^= 1 << (bit & 7);
    turned.push(flipped(tag, new TagHash(MAX_BYTES, [1, 2]).of(value, 'a', '')));
    value[bit >>> 3] ^= 1 << (bit & 7);
  }
  for (const seed of [
    [3, 2],
    [1, 3],
  ] as const) {
    turned.push(flipped(tag, new TagHash(MAX_BYTES, seed).of(value, 'a', '')));
  }
  expect(Math.min(...turned)).toBeGreaterThan(12);
  expect(turned.reduce((sum, each) => sum + each, 0) / turned.length).toBeCloseTo(32, 0);
});

test('a tag is that of the value, its type and its encoding, whatever was hashed before', () => {
  const seed = printedSeed('tags');
  const bytes = uint8Array({ maxLength: 20_000 });
  const text = string({ maxLength: 20, unit: 'binary-ascii' });
  const representation = record({ contentType: text, contentEncoding: text });
  assert(
    property(bytes, representation, bytes, representation, (value, texts, other, otherTexts) => {
      const tag = entityTag(value, texts);
      const isSame =
        Buffer.compare(value, other) === 0 &&
        texts.contentType === otherTexts.contentType &&
        texts.contentEncoding === otherTexts.contentEncoding;
      expect(entityTag(other, otherTexts) === tag).toBe(isSame);
      expect(entityTag(Buffer.from(value), { ...texts })).toBe(tag);
      expect(tag).toHaveLength(16);
    }),
    { seed },
  );
  // What stands behind the value is no part of it.
  expect(entityTag(Buffer.from('a'), TEXTS)).not.toBe(
    entityTag(Buffer.from('at'), { ...TEXTS, contentType: 'ext/plain' }),
  );
});
