import type { Ledger } from './shared/ledger.ts';
import type { Limits } from './config/memory-shares.ts';
import { type Settings, publicSettings } from './config/settings.ts';
import type { ShardRouter, ShardRow } from './shards/router.ts';
import { tierReport } from './shards/tier.ts';
import type { MemoryLimit } from './memory/probe.ts';
import type { Supervisor } from './memory/supervisor.ts';
import type { HttpFigures } from './metrics/metrics.ts';
import type { Traffic } from './metrics/traffic.ts';
import { ROUTING_COUNTERS, SHARD_COUNTERS } from './shared/stats-counters.ts';

export interface StatsSources {
  readonly settings: Settings;
  readonly memoryLimit: MemoryLimit;
  readonly limits: Limits;
  readonly supervisor: Supervisor;
  readonly router: ShardRouter;
  readonly ledger: Ledger;
}

/** What the HTTP layer knows of its clients. */
type ClientFigures = Pick<HttpFigures, 'frontDoor'> & { readonly traffic: Pick<Traffic, 'counts'> };

/** What `/stats` says: totals, one row per shard, memory, clients, and the configuration in force. */
export async function statsReport(sources: StatsSources, { frontDoor, traffic }: ClientFigures) {
  const { settings, memoryLimit, limits, supervisor, router, ledger } = sources;
  const rows = await router.stats();
  return {
    uptimeSeconds: Math.floor(process.uptime()),
    totals: totals(rows),
    shards: rows.map(shardReport),
    memory: {
      limitBytes: memoryLimit.limitBytes,
      limitSource: memoryLimit.source,
      residentBytes: process.memoryUsage.rss(),
      usedBytes: supervisor.usedBytes,
      usedShare: supervisor.usedBytes / memoryLimit.limitBytes,
      threshold: settings.MEMORY_THRESHOLD,
      thresholdBytes: limits.thresholdBytes,
      ceilingBytes: limits.ceilingBytes,
      heldBytes: ledger.totalHeld(),
      orders: supervisor.orders,
      lastDecision: supervisor.lastDecision.kind === 'wait' ? supervisor.lastDecision.reason : 'shed',
      lastOrder: lastOrder(supervisor),
    },
    connections: {
      open: frontDoor.size,
      waiting: frontDoor.waitingCount,
      limit: frontDoor.limits.maxConnections,
    },
    // Copies: who compares two reports must not see the same counts twice.
    refusals: { ...traffic.counts.refusals },
    cutOffs: { ...traffic.counts.cutOffs },
    ...tierPart(rows),
    configuration: publicSettings(settings),
  };
}

/** Where there is an engine behind the shards. */
function tierPart(rows: readonly ShardRow[]): { readonly tier?: ReturnType<typeof tierReport> } {
  const figures = rows.flatMap(({ tier, stats }) =>
    tier && stats ? [{ ...tier, nearHits: stats.hits }] : [],
  );
  return figures.length === 0 ? {} : { tier: tierReport(figures) };
}

function shardReport({ shard, state, restarts, inFlight, busyRejections, stats }: ShardRow) {
  return { shard, state, restarts, inFlight, busyRejections, ...stats };
}

function lastOrder({ lastReport }: Supervisor): object | null {
  if (!lastReport) return null;
  const { atMs, ...rest } = lastReport;
  return { at: new Date(atMs).toISOString(), ...rest };
}

function totals(rows: readonly ShardRow[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { name, ...counter } of SHARD_COUNTERS) {
    const figures = rows.map(({ stats }) => stats?.[name] ?? 0);
    sums[name] =
      'total' in counter ? Math.max(0, ...figures) : figures.reduce((sum, figure) => sum + figure, 0);
  }
  for (const { name } of ROUTING_COUNTERS) sums[name] = rows.reduce((sum, row) => sum + row[name], 0);
  return sums;
}
