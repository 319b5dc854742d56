import { expect, test } from 'vitest';
import { InvariantError } from '../../../src/shared/assert.ts';
import { SLOT_BYTES } from '../../../src/shared/segment-sizes.ts';
import { type Metadata, NO_METADATA } from '../../../workers/store/metadata.ts';
import { createSegment } from '../../support/segments.ts';

const metadata: Metadata = {
  contentType: 'text/html; charset=utf-8',
  contentEncoding: 'br',
  headers: ['31', 'a tag'],
  tag: '0123456789abcdef',
  isText: true,
};
const textBytes = 24 + 2 + 2 + 5 + 16;
const key = (i: number): string => `key-${i}`;
const metadataOf = (i: number): Metadata => ({
  ...metadata,
  tag: `${i}`.padStart(16, '0'),
  isText: i % 16 !== 0,
});

test('metadata costs its texts and a word, and nothing where it is left out or empty', () => {
  const { store } = createSegment();
  const bytesOf = (given?: Metadata): number => {
    store.put('key', 'v'.repeat(101), 0, given);
    return store.liveBytes - SLOT_BYTES;
  };
  // 12 + 3 + 101 bytes fill 120 but for four.
  expect([bytesOf(), bytesOf(NO_METADATA)]).toEqual([120, 120]);
  expect(bytesOf({ ...NO_METADATA, isText: false })).toBe(120);
  expect(bytesOf({ ...NO_METADATA, tag: 't'.repeat(16) })).toBe(136);
  expect(bytesOf({ ...NO_METADATA, contentType: 'x' })).toBe(128);
  expect(bytesOf(metadata)).toBe(Math.ceil((12 + 4 + 3 + 101 + textBytes) / 8) * 8);
});

test('metadata stays with its entry when that is cleaned, is given another slot, and a gzip form twice', () => {
  const { store } = createSegment();
  const count = 40_000;
  for (let i = 0; i < count; i++) store.put(key(i), `${i}`.repeat(20), i % 2 === 0 ? 0 : 1000, metadataOf(i));
  const before = store.reservedBytes;
  for (let i = 0; i < count; i++) if (i % 8 !== 0 && i % 8 !== 5) store.delete(key(i));
  while (store.maintain(2 ** 20));
  expect(store.reservedBytes).toBeLessThan(before / 2);
  for (const form of ['first form', 'the second']) {
    for (let i = 0; i < count; i++) if (i % 8 === 5) store.attachGzip(store.peek(key(i)), Buffer.from(form));
  }
  for (let i = 0; i < count; i++) {
    if (i % 8 !== 0 && i % 8 !== 5) continue;
    const slot = store.peek(key(i));
    expect(store.value(slot) === `${i}`.repeat(20)).toBe(true);
    expect(store.metadata(slot)).toEqual(metadataOf(i));
    expect(store.gzipView(slot)?.toString()).toBe(i % 8 === 5 ? 'the second' : undefined);
  }
  store.checkIntegrity();
});

test('metadata of which a text is too long, or the tag has another length, is an error of the caller', () => {
  const { store } = createSegment();
  for (const wrong of [{ contentType: 'x'.repeat(256) }, { tag: 'short' }, { tag: 't'.repeat(17) }]) {
    expect(() => store.put('key', 'v', 0, { ...metadata, ...wrong })).toThrow(InvariantError);
  }
  expect(store.entries).toBe(0);
  store.checkIntegrity();
});
