const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;

/** The delay before the next start: none after a shard that was up, then twice as long after each failure. */
export function restartDelayMs(failedStarts: number): number {
  if (failedStarts === 0) return 0;
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (failedStarts - 1));
}
