/** A thread that has never been up and fails to start this often will not come up. */
export const MAX_FIRST_STARTS = 3;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;

/**
 * How long a dead shard or HTTP thread waits before it starts again. One that was up starts at once. After each failed
 * start the delay doubles.
 */
export function restartDelayMs(failedStarts: number): number {
  if (failedStarts === 0) return 0;
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (failedStarts - 1));
}
