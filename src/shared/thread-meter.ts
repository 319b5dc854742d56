import { PerformanceObserver, performance } from 'node:perf_hooks';

/** Upper bounds of the buckets of event-loop delays and of collector pauses, in ms. */
export const DELAY_BOUNDS_MS = [1, 5, 10, 25, 100, 500] as const;
export const PAUSE_BOUNDS_MS = [1, 5, 25, 100, 500] as const;

const DELAY_INTERVAL_MS = 100;
/** Nothing is sampled any more when nobody has asked for so long: longer than anybody waits between two scrapes. */
const ASKED_FOR_MS = 150_000;

/** Durations so far: those up to each bound, then all, and their sum. */
export interface Durations {
  readonly cumulative: readonly number[];
  readonly sumMs: number;
}

/** What one thread has done since it started. Delays and pauses count only while somebody asks for them. */
export interface ThreadFigures {
  readonly activeMs: number;
  readonly idleMs: number;
  readonly processorMs: number;
  readonly delays: Durations;
  readonly pauses: Durations;
}

class Histogram {
  private readonly bounds: readonly number[];
  private readonly counts: number[];
  private sumMs = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  add(ms: number): void {
    const bucket = this.bounds.findIndex((bound) => ms <= bound);
    this.counts[bucket < 0 ? this.bounds.length : bucket]++;
    this.sumMs += ms;
  }

  read(): Durations {
    let total = 0;
    return { cumulative: this.counts.map((count) => (total += count)), sumMs: this.sumMs };
  }
}

/**
 * Measures the thread that it is made on. The event loop's own times and processor time are there anyway. Delays and
 * collector pauses are sampled from the first `read` on, and until nobody has read for a while.
 *
 * Delays are how late a timer is. Node's own histogram of them has only quantiles since its last reset, so two readers would
 * spoil each other's.
 */
export class ThreadMeter {
  private readonly delays = new Histogram(DELAY_BOUNDS_MS);
  private readonly pauses = new Histogram(PAUSE_BOUNDS_MS);
  private readonly observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) this.pauses.add(duration);
  });
  private readonly nowMs: () => number;
  private timer: NodeJS.Timeout | undefined;
  private dueMs = 0;
  private askedMs = 0;

  /** @param nowMs a clock that never goes back. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  get isSampling(): boolean {
    return this.timer !== undefined;
  }

  read(): ThreadFigures {
    this.askedMs = this.nowMs();
    if (!this.isSampling) this.begin();
    const { active, idle } = performance.eventLoopUtilization();
    const { user, system } = process.threadCpuUsage();
    return {
      activeMs: active,
      idleMs: idle,
      processorMs: (user + system) / 1000,
      delays: this.delays.read(),
      pauses: this.pauses.read(),
    };
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.observer.disconnect();
  }

  private begin(): void {
    this.observer.observe({ entryTypes: ['gc'] });
    this.wait();
  }

  private wait(): void {
    this.dueMs = this.nowMs() + DELAY_INTERVAL_MS;
    this.timer = setTimeout(() => this.look(), DELAY_INTERVAL_MS).unref();
  }

  private look(): void {
    const nowMs = this.nowMs();
    this.delays.add(Math.max(0, nowMs - this.dueMs));
    if (nowMs - this.askedMs > ASKED_FOR_MS) this.stop();
    else this.wait();
  }
}
