import { expect, test } from 'vitest';
import { AnswerSize } from '../../src/client/batch-limits.ts';

test('a batch gets shorter with larger answers, and longer again little by little', () => {
  const size = new AnswerSize();
  expect(size.maxCalls).toBe(2 ** 20);
  size.note(400 * 10_240, 400);
  expect(size.maxCalls).toBe(102);
  // A batch of misses says little of what comes next.
  size.note(100 * 20, 100);
  expect(size.maxCalls).toBe(113);
  for (let batch = 0; batch < 100; batch++) size.note(100 * 20, 100);
  expect(size.maxCalls).toBe(52_428);
});

test('a batch has at least one call, and one in which nothing succeeded says nothing', () => {
  const size = new AnswerSize();
  size.note(2 ** 22, 1);
  expect(size.maxCalls).toBe(1);
  const empty = new AnswerSize();
  empty.note(0, 0);
  expect(empty.maxCalls).toBe(2 ** 20);
});
