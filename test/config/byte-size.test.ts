import { describe, expect, test } from 'vitest';
import { formatBytes, parseByteSize } from '../../src/config/byte-size.ts';

describe('parseByteSize', () => {
  test.each([
    ['0', 0],
    ['1', 1],
    ['1024', 1024],
    ['7b', 7],
    ['1kb', 2 ** 10],
    ['512mb', 512 * 2 ** 20],
    ['2gb', 2 * 2 ** 30],
    ['1tb', 2 ** 40],
    ['64k', 64 * 2 ** 10],
    ['64m', 64 * 2 ** 20],
    ['1KiB', 2 ** 10],
    ['256MB', 256 * 2 ** 20],
    ['256 mb', 256 * 2 ** 20],
    ['  3gb  ', 3 * 2 ** 30],
    ['1.5kb', 1536],
    ['0.3b', 0],
    ['512Mi', 512 * 2 ** 20],
    ['1Gi', 2 ** 30],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['64Ki', 64 * 2 ** 10],
    ['2Ti', 2 * 2 ** 40],
    // As systemd and Docker read them: a thousandth, as for Kubernetes, nobody means.
    ['512M', 512 * 2 ** 20],
    ['512m', 512 * 2 ** 20],
    // Kubernetes' way to write a plain number.
    ['129e6', 129_000_000],
    ['1E9', 10 ** 9],
    ['1.5e3', 1500],
  ])('%j is %i bytes', (text, bytes) => {
    expect(parseByteSize(text)).toBe(bytes);
  });

  test.each([
    '',
    ' ',
    'mb',
    '-1',
    '+1',
    '1e',
    'e9',
    '1e-3',
    '1e3mb',
    '1e999',
    '5i',
    '5ib',
    '5bi',
    '1Pi',
    'max',
    'infinity',
    '50%',
    // Kubernetes' thousandths of a byte.
    '128974848000m',
    '1,5kb',
    '1..5',
    '.5kb',
    '5.',
    '1 2',
    'kb1',
    '0x10',
    '1pb',
    'NaN',
  ])('%j is none', (text) => {
    expect(parseByteSize(text)).toBeUndefined();
  });

  test('a size that a number cannot hold exactly is none', () => {
    expect(parseByteSize(String(2 ** 53 - 1))).toBe(2 ** 53 - 1);
    expect(parseByteSize('9007199254740993')).toBeUndefined();
    expect(parseByteSize('8192tb')).toBeUndefined();
  });
});

describe('formatBytes', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [2 ** 20, '1 MiB'],
    [256 * 2 ** 20, '256 MiB'],
    [2 ** 30 + 2 ** 29, '1.5 GiB'],
    [5 * 2 ** 50, '5120 TiB'],
  ])('%i is %j', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
