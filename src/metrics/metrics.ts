import type { Limits } from '../config/memory-shares.ts';
import type { MemoryLimit } from '../memory/probe.ts';
import type { Supervisor } from '../memory/supervisor.ts';
import type { Ledger } from '../shared/ledger.ts';
import type { ShardRouter, ShardRow } from '../shards/router.ts';
import { DELAY_BOUNDS_MS, PAUSE_BOUNDS_MS, type ThreadFigures, ThreadMeter } from '../shared/thread-meter.ts';
import { FAMILIES, ROUTING_FAMILIES, SHARD_FAMILIES, TIER_FAMILIES } from './families.ts';
import { BOUNDS_MS, NO_STATUS } from './request-times.ts';
import { TextWriter, secondsOf, toSeconds } from './text-writer.ts';
import { Traffic, type TrafficReports } from './traffic.ts';

const REQUEST_BOUNDS = secondsOf(BOUNDS_MS);
const DELAY_BOUNDS = secondsOf(DELAY_BOUNDS_MS);
const PAUSE_BOUNDS = secondsOf(PAUSE_BOUNDS_MS);

export interface MetricsSources {
  readonly memoryLimit: MemoryLimit;
  readonly limits: Limits;
  readonly supervisor: Supervisor;
  readonly router: ShardRouter;
  readonly ledger: Ledger;
}

/** What the HTTP layer knows of its connections. */
export interface HttpFigures {
  readonly purse: {
    readonly totals: {
      readonly requests: number;
      readonly unreadBytes: number;
      readonly unsentBytes: number;
    };
  };
  readonly frontDoor: {
    readonly size: number;
    readonly waitingCount: number;
    readonly limits: { readonly maxConnections: number };
  };
}

/** What `/metrics` says. */
export class Metrics {
  readonly traffic: Traffic;
  private readonly version: string;
  private readonly mainThread = new ThreadMeter(() => performance.now());

  constructor(version: string, reports: TrafficReports) {
    this.version = version;
    this.traffic = new Traffic(reports);
  }

  async text(sources: MetricsSources, http: HttpFigures): Promise<string> {
    const rows = await sources.router.figures();
    const writer = new TextWriter();
    writer.family(FAMILIES.info).sample(FAMILIES.info, `version="${this.version}"`, 1);
    writeShards(writer, rows);
    writeTier(writer, rows);
    writeMemory(writer, sources);
    writeTraffic(writer, this.traffic);
    writeConnections(writer, http);
    writeThreads(writer, this.mainThread.read(), rows);
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

function writeTraffic(writer: TextWriter, traffic: Traffic): void {
  writer.family(FAMILIES.requestDuration);
  for (const { method, route, status, ...durations } of traffic.times.snapshot()) {
    const labels = `route="${route}",method="${method}",status="${status === NO_STATUS ? 'none' : status}"`;
    writer.histogram(FAMILIES.requestDuration, labels, REQUEST_BOUNDS, durations);
  }
  const { refusals, cutOffs } = traffic.counts;
  writer.family(FAMILIES.refusals);
  for (const [reason, count] of Object.entries(refusals)) {
    writer.sample(FAMILIES.refusals, `reason="${reason}"`, count);
  }
  writer.family(FAMILIES.cutOffs);
  for (const [reason, count] of Object.entries(cutOffs)) {
    writer.sample(FAMILIES.cutOffs, `reason="${reason}"`, count);
  }
}

function writeConnections(writer: TextWriter, { purse, frontDoor }: HttpFigures): void {
  writer
    .single(FAMILIES.connections, frontDoor.size)
    .single(FAMILIES.waiting, frontDoor.waitingCount)
    .single(FAMILIES.maxConnections, frontDoor.limits.maxConnections)
    .single(FAMILIES.requestsInProgress, purse.totals.requests)
    .single(FAMILIES.unreadBytes, purse.totals.unreadBytes)
    .single(FAMILIES.unsentBytes, purse.totals.unsentBytes);
}

function writeThreads(writer: TextWriter, main: ThreadFigures, rows: readonly ShardRow[]): void {
  const threads: { readonly labels: string; readonly figures: ThreadFigures }[] = [
    { labels: 'thread="main"', figures: main },
  ];
  for (const { shard, thread } of rows) {
    if (thread) threads.push({ labels: `thread="shard-${shard}"`, figures: thread });
  }
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
