import { createHistogram, PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { collectGarbage } from '../lib/child.ts';
import { ProcessorWait } from '../lib/usage.ts';

/** An operation of a sequence that took long, and how many ms. */
type SlowStep = readonly [step: number, ms: number];

/** Many operations, each timed by itself on the monotonic clock. */
export interface Phase {
  readonly phase: string;
  readonly operations: number;
  readonly p50Nanos: number;
  readonly p99Nanos: number;
  readonly p999Nanos: number;
  readonly p9999Nanos: number;
  readonly maxMs: number;
  /** The longest operation, less the time that the thread waited for a processor. */
  readonly maxOwnMs: number;
  /** Operations of more than 1 ms without that waiting. */
  readonly slowSteps: readonly SlowStep[];
  /** The longest pause of the collector. */
  readonly pauseMs: number;
}

/** Operations this near to each other count as the same: what one leaves undone, the next one does. */
const SAME_PLACE_STEPS = 64;

const SLOW_MS = 1;
const CHECK_EVERY = 64;
/** Between turns of the event loop, where the collector's pauses are reported. */
const TURN_EVERY = 100_000;
/** Longer than the observer keeps entries to itself. */
const SETTLE_MS = 20;
const MAX_NANOS = 60e9;

const processorWait = new ProcessorWait();

/**
 * Other programs share the machine, and the time that they take from this thread looks like a slow operation. So the
 * time that the thread has waited for a processor is read every `CHECK_EVERY` operations and after each one longer than
 * `SLOW_MS`: the difference was not that operation's own.
 */
export async function timePhase<Item>(
  phase: string,
  operations: number,
  prepare: (step: number) => Item,
  operate: (item: Item) => unknown,
): Promise<Phase> {
  collectGarbage();
  const longestPauseMs = await watchCollector();
  const histogram = createHistogram({ lowest: 1, highest: MAX_NANOS, figures: 3 });
  const slowSteps: SlowStep[] = [];
  let [maxMs, maxOwnMs, waitedMs] = [0, 0, 0];
  for (let step = 0; step < operations; step++) {
    if (step % TURN_EVERY === 0) await nextTurn();
    if (step % CHECK_EVERY === 0) waitedMs = processorWait.totalMs();
    const item = prepare(step);
    const from = performance.now();
    operate(item);
    const ms = performance.now() - from;
    histogram.record(Math.max(1, Math.round(ms * 1e6)));
    if (ms > maxMs) maxMs = ms;
    if (ms < SLOW_MS) continue;
    const waitedBeforeMs = waitedMs;
    waitedMs = processorWait.totalMs();
    const ownMs = ms - Math.min(ms, waitedMs - waitedBeforeMs);
    if (ownMs >= SLOW_MS) slowSteps.push([step, ownMs]);
    maxOwnMs = Math.max(maxOwnMs, ownMs);
  }
  return {
    phase,
    operations,
    p50Nanos: histogram.percentile(50),
    p99Nanos: histogram.percentile(99),
    p999Nanos: histogram.percentile(99.9),
    p9999Nanos: histogram.percentile(99.99),
    maxMs,
    // Nobody looked into operations that were quicker than `SLOW_MS`.
    maxOwnMs: Math.max(maxOwnMs, Math.min(maxMs, SLOW_MS)),
    slowSteps,
    pauseMs: await longestPauseMs(),
  };
}

/** Watches from now on, without pauses from before that are still unreported. @returns what ends it. */
async function watchCollector(): Promise<() => Promise<number>> {
  await delay(SETTLE_MS);
  let longestMs = 0;
  const fromMs = performance.now();
  const observer = new PerformanceObserver((list) => {
    const pauses = list.getEntries().filter(({ startTime }) => startTime >= fromMs);
    longestMs = Math.max(longestMs, ...pauses.map(({ duration }) => duration));
  });
  observer.observe({ entryTypes: ['gc'] });
  return async () => {
    await delay(SETTLE_MS);
    observer.disconnect();
    return longestMs;
  };
}

/**
 * The longest of the first round's slow operations that was slow at the same place in every other round too: that is
 * the code, since the machine's pauses come elsewhere each time.
 *
 * @param rounds the same sequence of operations each.
 * @returns ms; 0 if nothing was slow in all rounds.
 */
export function longestRecurring(rounds: readonly (readonly SlowStep[])[]): number {
  const [first, ...others] = rounds;
  const near = (steps: readonly SlowStep[], step: number): number =>
    Math.max(0, ...steps.filter(([at]) => Math.abs(at - step) <= SAME_PLACE_STEPS).map(([, ms]) => ms));
  return Math.max(0, ...first.map(([step, ms]) => Math.min(ms, ...others.map((steps) => near(steps, step)))));
}
