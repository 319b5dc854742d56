import type { Limits } from '../config/memory-shares.ts';
import type { MemoryLimit } from '../memory/probe.ts';
import type { Supervisor } from '../memory/supervisor.ts';
import type { Ledger } from '../shared/ledger.ts';
import type { ShardRouter, ShardRow } from '../shards/router.ts';
import { type SnapshotFigures, noSnapshotFigures } from '../shared/stats-counters.ts';
import { DELAY_BOUNDS_MS, PAUSE_BOUNDS_MS, type ThreadFigures, ThreadMeter } from '../shared/thread-meter.ts';
import { FAMILIES, ROUTING_FAMILIES, SHARD_FAMILIES, SNAPSHOT_FAMILIES, TIER_FAMILIES } from './families.ts';
import { type HttpFigures, withRouting } from './http-figures.ts';
import { BOUNDS_MS, NO_STATUS } from './request-times.ts';
import { TextWriter, secondsOf, toSeconds } from './text-writer.ts';

const REQUEST_BOUNDS = secondsOf(BOUNDS_MS);
const DELAY_BOUNDS = secondsOf(DELAY_BOUNDS_MS);
const PAUSE_BOUNDS = secondsOf(PAUSE_BOUNDS_MS);

export interface MetricsSources {
  readonly memoryLimit: MemoryLimit;
  readonly limits: Limits;
  readonly supervisor: Supervisor;
  readonly router: ShardRouter;
  readonly ledger: Ledger;
  /** The HTTP threads beside the main thread. */
  readonly fronts: {
    /** What each has done, if it answers. */
    readonly threads: readonly NamedThread[];
    readonly restarts: number;
  };
  /** Absent where there is no snapshot file. */
  readonly snapshots: { readonly figures: SnapshotFigures } | undefined;
}

/** What `/metrics` says. */
export class Metrics {
  private readonly version: string;
  private readonly mainThread = new ThreadMeter(() => performance.now());

  constructor(version: string) {
    this.version = version;
  }

  /** @param http the figures of all HTTP threads together. */
  async text(sources: MetricsSources, http: HttpFigures): Promise<string> {
    const { fronts } = sources;
    const rows = withRouting(await sources.router.figures(), http);
    const writer = new TextWriter();
    writer.family(FAMILIES.info).sample(FAMILIES.info, `version="${this.version}"`, 1);
    writeShards(writer, rows);
    writeTier(writer, rows);
    writeMemory(writer, sources);
    writeSnapshot(writer, sources.snapshots?.figures ?? noSnapshotFigures());
    writeTraffic(writer, http);
    writeConnections(writer, http);
    writer.single(FAMILIES.frontRestarts, fronts.restarts);
    writeThreads(writer, [
      { name: 'main', figures: this.mainThread.read() },
      ...fronts.threads,
      ...threadsOf(rows),
    ]);
    writeProcess(writer);
    return writer.toString();
  }

  stop(): void {
    this.mainThread.stop();
  }
}

function writeShards(writer: TextWriter, rows: readonly ShardRow[]): void {
  writer.family(FAMILIES.shardUp);
  for (const { shard, stats } of rows) {
    writer.sample(FAMILIES.shardUp, `shard="${shard}"`, stats === undefined ? 0 : 1);
  }
  for (const family of ROUTING_FAMILIES) {
    writer.family(family);
    for (const row of rows) writer.sample(family, `shard="${row.shard}"`, row[family.counter]);
  }
  for (const family of SHARD_FAMILIES) {
    writer.family(family);
    for (const { shard, stats } of rows) {
      if (stats) writer.sample(family, `shard="${shard}"`, stats[family.counter]);
    }
  }
}

function writeTier(writer: TextWriter, rows: readonly ShardRow[]): void {
  writer.family(FAMILIES.tierNodeUp);
  for (const { shard, tier } of rows) {
    for (const { address, isUp } of tier?.nodes ?? []) {
      writer.sample(FAMILIES.tierNodeUp, `shard="${shard}",node="${address}"`, isUp ? 1 : 0);
    }
  }
  for (const family of TIER_FAMILIES) {
    writer.family(family);
    for (const { shard, tier } of rows) {
      if (tier) writer.sample(family, `shard="${shard}"`, tier[family.counter]);
    }
  }
}

function writeMemory(writer: TextWriter, { memoryLimit, limits, supervisor, ledger }: MetricsSources): void {
  const { askedBytes, releasedBytes, tookMs } = supervisor.totals;
  writer
    .single(FAMILIES.limit, memoryLimit.limitBytes)
    .single(FAMILIES.used, supervisor.usedBytes)
    .single(FAMILIES.threshold, limits.thresholdBytes)
    .single(FAMILIES.ceiling, limits.ceilingBytes)
    .single(FAMILIES.held, ledger.totalHeld())
    .single(FAMILIES.orders, supervisor.orders)
    .single(FAMILIES.asked, askedBytes)
    .single(FAMILIES.freed, releasedBytes)
    .single(FAMILIES.orderSeconds, toSeconds(tookMs));
}

function writeSnapshot(writer: TextWriter, figures: SnapshotFigures): void {
  for (const family of SNAPSHOT_FAMILIES) writer.single(family, figures[family.counter]);
}

function writeTraffic(writer: TextWriter, { times, refusals, cutOffs }: HttpFigures): void {
  writer.family(FAMILIES.requestDuration);
  for (const { method, route, status, ...durations } of times) {
    const labels = `route="${route}",method="${method}",status="${status === NO_STATUS ? 'none' : status}"`;
    writer.histogram(FAMILIES.requestDuration, labels, REQUEST_BOUNDS, durations);
  }
  writer.family(FAMILIES.refusals);
  for (const [reason, count] of Object.entries(refusals)) {
    writer.sample(FAMILIES.refusals, `reason="${reason}"`, count);
  }
  writer.family(FAMILIES.cutOffs);
  for (const [reason, count] of Object.entries(cutOffs)) {
    writer.sample(FAMILIES.cutOffs, `reason="${reason}"`, count);
  }
}

function writeConnections(writer: TextWriter, { connections, holds }: HttpFigures): void {
  writer
    .single(FAMILIES.connections, connections.open)
    .single(FAMILIES.waiting, connections.waiting)
    .single(FAMILIES.maxConnections, connections.limit)
    .single(FAMILIES.requestsInProgress, holds.requests)
    .single(FAMILIES.unreadBytes, holds.unreadBytes)
    .single(FAMILIES.unsentBytes, holds.unsentBytes);
}

/** A thread, as the label of its samples names it. */
export interface NamedThread {
  readonly name: string;
  readonly figures: ThreadFigures;
}

function threadsOf(rows: readonly ShardRow[]): NamedThread[] {
  return rows.flatMap(({ shard, thread }) => (thread ? [{ name: `shard-${shard}`, figures: thread }] : []));
}

function writeThreads(writer: TextWriter, all: readonly NamedThread[]): void {
  const threads = all.map(({ name, figures }) => ({ labels: `thread="${name}"`, figures }));
  for (const [family, name] of [
    [FAMILIES.active, 'activeMs'],
    [FAMILIES.idle, 'idleMs'],
    [FAMILIES.processor, 'processorMs'],
  ] as const) {
    writer.family(family);
    for (const { labels, figures } of threads) writer.sample(family, labels, toSeconds(figures[name]));
  }
  writer.family(FAMILIES.delay);
  for (const { labels, figures } of threads) {
    writer.histogram(FAMILIES.delay, labels, DELAY_BOUNDS, figures.delays);
  }
  writer.family(FAMILIES.pause);
  for (const { labels, figures } of threads) {
    writer.histogram(FAMILIES.pause, labels, PAUSE_BOUNDS, figures.pauses);
  }
}

function writeProcess(writer: TextWriter): void {
  const { user, system } = process.cpuUsage();
  writer
    .single(FAMILIES.processCpu, (user + system) / 1e6)
    .single(FAMILIES.resident, process.memoryUsage.rss())
    .single(FAMILIES.started, toSeconds(performance.timeOrigin));
}
