const FIRST_DELAY_MS = 100;
const MOST_DELAY_MS = 5000;

/** How long to wait before the next start: none after a shard that was up, then twice as long each time. */
export function restartDelayMs(failedStarts: number): number {
  if (failedStarts === 0) return 0;
  return Math.min(MOST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failedStarts - 1));
}
