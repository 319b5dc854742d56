import { createHistogram, performance } from 'node:perf_hooks';
import { mainThreadCpuMicros, treeCpuMicros, treeRssBytes } from '../lib/process.ts';
import type { Sample, Timeline } from './measurement.ts';

export type OnAnswer = (status: number, latencyMs: number) => void;

interface BodyBounds {
  readonly least: number;
  readonly most: number;
}

/** Counts the answers between `start` and `stop`, and what server and generator used meanwhile. */
export class Recorder {
  readonly #statuses: Set<number>;
  readonly #bounds: BodyBounds;
  readonly #timeline: { atMs: number[]; latencyMicros: number[] } | undefined;
  // In µs, because autocannon's own is in whole ms: a single connection's answers take a fraction of one.
  readonly #latencies = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
  readonly #errors: Record<string, number> = {};
  #isOn = false;
  #isStatusRight = true;
  #requests = 0;
  #before = usage([]);

  constructor(statuses: readonly number[], bounds: BodyBounds, withTimeline: boolean) {
    this.#statuses = new Set(statuses);
    this.#bounds = bounds;
    this.#timeline = withTimeline ? { atMs: [], latencyMicros: [] } : undefined;
  }

  readonly onAnswer: OnAnswer = (status, latencyMs) => {
    if (!this.#isOn) return;
    this.#requests++;
    this.#latencies.record(Math.max(1, Math.round(latencyMs * 1_000)));
    this.#isStatusRight = this.#statuses.has(status);
    if (!this.#isStatusRight) this.#count(`status ${status}`);
    if (this.#timeline !== undefined) {
      this.#timeline.atMs.push(Date.now());
      this.#timeline.latencyMicros.push(latencyMs * 1_000);
    }
  };

  /** Follows `onAnswer`. @returns true, since it is counted here and autocannon need not. */
  readonly onBody = (length: number): true => {
    if (this.#isOn && this.#isStatusRight) {
      if (length < this.#bounds.least) this.#count('too short');
      else if (length > this.#bounds.most) this.#count('not compressed');
    }
    return true;
  };

  readonly onFailure = (error: unknown): void => {
    if (this.#isOn) this.#count(error instanceof Error ? error.message : 'no answer');
  };

  start(pids: readonly number[]): void {
    this.#before = usage(pids);
    this.#isOn = true;
  }

  stop(pids: readonly number[]): Sample {
    this.#isOn = false;
    const after = usage(pids);
    const before = this.#before;
    // A server that hangs fails no request: there is only none.
    if (this.#requests === 0) this.#count('no answer at all');
    const elapsedMicros = (after.atMs - before.atMs) * 1_000;
    return {
      requests: this.#requests,
      seconds: elapsedMicros / 1e6,
      p50Micros: this.#latencies.percentile(50),
      p97_5Micros: this.#latencies.percentile(97.5),
      p99Micros: this.#latencies.percentile(99),
      maxMicros: this.#latencies.max,
      errors: this.#errors,
      cpuMicros: after.cpuMicros - before.cpuMicros,
      mainThreadCpuMicros: after.mainThreadCpuMicros - before.mainThreadCpuMicros,
      residentBytes: pids.reduce((sum, pid) => sum + treeRssBytes(pid), 0),
      generatorShare: (after.ownCpuMicros - before.ownCpuMicros) / elapsedMicros,
      ...(this.#timeline !== undefined && { timeline: packed(this.#timeline) }),
    };
  }

  #count(kind: string): void {
    this.#errors[kind] = (this.#errors[kind] ?? 0) + 1;
  }
}

function packed(timeline: { atMs: number[]; latencyMicros: number[] }): Timeline {
  return {
    atMs: Float64Array.from(timeline.atMs),
    latencyMicros: Float64Array.from(timeline.latencyMicros),
  };
}

function usage(pids: readonly number[]): {
  atMs: number;
  cpuMicros: number;
  mainThreadCpuMicros: number;
  ownCpuMicros: number;
} {
  const own = process.threadCpuUsage();
  return {
    atMs: performance.now(),
    ownCpuMicros: own.user + own.system,
    cpuMicros: pids.reduce((sum, pid) => sum + treeCpuMicros(pid), 0),
    mainThreadCpuMicros: pids.length > 0 ? mainThreadCpuMicros(pids[0]) : 0,
  };
}
