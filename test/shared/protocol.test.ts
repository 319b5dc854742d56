import { expect, test } from 'vitest';
import {
  decodeU16,
  decodeU32,
  decodeU48,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
  encodeU32,
} from '../../src/shared/protocol.ts';

const TEN_YEARS_MS = 10 * 365.25 * 86_400_000;

test('requests are laid out as the protocol draws them', () => {
  expect(encodeGet('key', false)).toBe('g\0\x03key');
  expect(encodeGet('key', true)).toBe('G\0\x03key');
  expect(encodeDelete('k'.repeat(258))).toBe(`d\x01\x02${'k'.repeat(258)}`);
  expect(encodePut('key', 'value', 0)).toBe('p\0\x03\0\0\0\x05keyvalue');
  expect(encodePut('k', 'v', 0x1020304050)).toBe('P\0\x01\0\0\0\x01\0\x10\x20\x30\x40\x50kv');
  expect(encodeClear()).toBe('c');
});

test.each([0, 1, 255, 256, 65_536, 2 ** 24, 2 ** 31, 2 ** 32 - 1])(
  '%i survives in four characters',
  (number) => {
    expect(encodeU32(number)).toHaveLength(4);
    expect(decodeU32(`..${encodeU32(number)}`, 2)).toBe(number);
  },
);

test.each([1, 1000, 2 ** 32, TEN_YEARS_MS])('a ttl of %i ms survives in six', (ttlMs) => {
  expect(decodeU48(encodePut('k', 'v', ttlMs), 7)).toBe(ttlMs);
});

test('no character takes more than one byte', () => {
  for (const request of [
    encodePut('k'.repeat(4096), 'v'.repeat(70_000), TEN_YEARS_MS),
    encodeU32(2 ** 32 - 1),
  ]) {
    expect(/^[\0-\xff]*$/.test(request)).toBe(true);
  }
  expect(decodeU16(encodeGet('k'.repeat(4096), false), 1)).toBe(4096);
});
