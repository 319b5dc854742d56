import { createHistogram, performance } from 'node:perf_hooks';
import { mainThreadCpuMicros, serverCpuMicros, serverRssBytes } from '../lib/usage.ts';
import type { Reply, Sample, Timeline } from './measurement.ts';
import type { Expected } from './requests.ts';

/** Counts the answers between `start` and `stop`, and what server and generator use in that time. */
export class Recorder {
  private readonly expected: Expected;
  private readonly pids: readonly number[];
  // In µs. autocannon's own is in whole ms, and a single connection's answers take a fraction of one.
  private readonly latencies = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
  private readonly times: Timeline | undefined;
  private readonly errorKinds: Record<string, number> = {};
  private errors = 0;
  private isOn = false;
  private isStatusRight = true;
  private requests = 0;
  private before: Usage | undefined;

  /** @param pids the server's processes, the one that answers first. */
  constructor(expected: Expected, pids: readonly number[], withTimeline = false) {
    this.expected = expected;
    this.pids = pids;
    this.times = withTimeline ? { atMs: [], latencyMicros: [] } : undefined;
  }

  onAnswer(status: number, latencyMs: number): void {
    if (!this.isOn) return;
    this.requests++;
    this.latencies.record(Math.max(1, Math.round(latencyMs * 1_000)));
    this.isStatusRight = this.expected.statuses.includes(status);
    if (!this.isStatusRight) this.count(`status ${status}`);
    this.times?.atMs.push(Date.now());
    this.times?.latencyMicros.push(latencyMs * 1_000);
  }

  /** Follows `onAnswer`. */
  onBody(bytes: number): void {
    if (!this.isOn || !this.isStatusRight) return;
    if (bytes < this.expected.minBytes) this.count('too short');
    else if (bytes > this.expected.maxBytes) this.count('not compressed');
  }

  onFailure(error: unknown): void {
    if (this.isOn) this.count(error instanceof Error ? error.message : 'no answer');
  }

  start(): void {
    this.before = usageOf(this.pids);
    this.isOn = true;
  }

  stop(): Reply {
    this.isOn = false;
    const after = usageOf(this.pids);
    const before = this.before ?? after;
    // A server that hangs fails no request: there is just none.
    if (this.requests === 0) this.count('no answer at all');
    const elapsedMicros = (after.atMs - before.atMs) * 1_000;
    const sample: Sample = {
      requests: this.requests,
      requestsPerSecond: this.requests / (elapsedMicros / 1e6),
      p50Micros: this.latencies.percentile(50),
      p97_5Micros: this.latencies.percentile(97.5),
      p99Micros: this.latencies.percentile(99),
      errors: this.errors,
      errorKinds: this.errorKinds,
      cpuMicros: (after.cpuMicros - before.cpuMicros) / this.requests,
      mainThreadMicros: (after.mainThreadMicros - before.mainThreadMicros) / this.requests,
      residentBytes: this.pids.reduce((sum, pid) => sum + serverRssBytes(pid), 0),
      generatorShare: (after.ownCpuMicros - before.ownCpuMicros) / elapsedMicros,
    };
    return { sample, timeline: this.times };
  }

  private count(kind: string): void {
    this.errors++;
    this.errorKinds[kind] = (this.errorKinds[kind] ?? 0) + 1;
  }
}

type Usage = ReturnType<typeof usageOf>;

function usageOf(pids: readonly number[]) {
  const own = process.threadCpuUsage();
  return {
    atMs: performance.now(),
    ownCpuMicros: own.user + own.system,
    cpuMicros: pids.reduce((sum, pid) => sum + serverCpuMicros(pid), 0),
    mainThreadMicros: pids.length > 0 ? mainThreadCpuMicros(pids[0]) : 0,
  };
}
