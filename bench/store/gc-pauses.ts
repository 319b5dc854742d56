import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

/** What the collector held this thread up for. */
export interface GcPauses {
  readonly count: number;
  readonly totalMs: number;
  readonly longestMs: number;
}

/** Longer than the observer lets entries wait. */
const SETTLE_MS = 20;

/** Counts the pauses from now until `stop`; those before, or still unreported, are left out. */
export async function watchGc(): Promise<{ stop(): Promise<GcPauses> }> {
  await delay(SETTLE_MS);
  let [count, totalMs, longestMs] = [0, 0, 0];
  const from = performance.now();
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      if (startTime < from) continue;
      count++;
      totalMs += duration;
      longestMs = Math.max(longestMs, duration);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return {
    stop: async () => {
      await delay(SETTLE_MS);
      observer.disconnect();
      return { count, totalMs, longestMs };
    },
  };
}
