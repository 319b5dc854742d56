import { expect, test } from 'vitest';
import { restartDelayMs } from '../../src/worker-threads/restart-policy.ts';

test.each([
  [0, 0],
  [1, 100],
  [2, 200],
  [3, 400],
  [6, 3200],
  [7, 5000],
  [1000, 5000],
])('after %i failed starts the next one waits %i ms', (failedStarts, delayMs) => {
  expect(restartDelayMs(failedStarts)).toBe(delayMs);
});
