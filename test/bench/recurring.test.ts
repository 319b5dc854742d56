import { expect, test } from 'vitest';
import { longestRecurring } from '../../bench/store/recurring.ts';

test('what takes long at the same operation in every round counts for as long as it took at the least', () => {
  const rounds = [
    [
      [5_000, 3],
      [70_000, 9],
    ],
    [
      [5_000, 4],
      [70_040, 7],
    ],
    [
      [69_990, 8],
      [5_010, 2],
    ],
  ] as const;
  expect(longestRecurring(rounds)).toBe(7);
});

test('what takes long somewhere else each time does not count', () => {
  const rounds = [
    [
      [100, 42],
      [9_000, 2],
    ],
    [
      [700, 38],
      [9_000, 3],
    ],
  ] as const;
  expect(longestRecurring(rounds)).toBe(2);
  expect(longestRecurring([[[100, 42]], []])).toBe(0);
});

test('of a single round all counts', () => {
  expect(longestRecurring([[[100, 42]]])).toBe(42);
});
