import { type Settings, publicSettings } from './config/settings.ts';
import type { ShardRow } from './shards/router.ts';
import { tierReport } from './shards/tier.ts';
import type { Supervisor } from './memory/supervisor.ts';
import { type HttpFigures, withRouting } from './metrics/http-figures.ts';
import type { MetricsSources } from './metrics/metrics.ts';
import { ROUTING_COUNTERS, SHARD_COUNTERS, noSnapshotFigures } from './shared/stats-counters.ts';

export interface StatsSources extends MetricsSources {
  readonly settings: Settings;
}

/**
 * What `/stats` says: totals, one row per shard, memory, clients, and the configuration in force.
 * @param http the figures of all HTTP threads together.
 */
export async function statsReport(sources: StatsSources, http: HttpFigures) {
  const { settings, memoryLimit, limits, supervisor, router, ledger } = sources;
  const rows = withRouting(await router.stats(), http);
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
    // A copy: later counts must not change a report that was given out.
    snapshot: { ...(sources.snapshots?.figures ?? noSnapshotFigures()) },
    connections: http.connections,
    refusals: http.refusals,
    cutOffs: http.cutOffs,
    ...tierPart(rows),
    configuration: publicSettings(settings),
  };
}

function shardReport({ shard, state, restarts, inFlight, busyRejections, stats }: ShardRow) {
  return { shard, state, restarts, inFlight, busyRejections, ...stats };
}

/** Where there is an engine behind the shards. */
function tierPart(rows: readonly ShardRow[]): { readonly tier?: ReturnType<typeof tierReport> } {
  const figures = rows.flatMap(({ tier, stats }) =>
    tier && stats ? [{ ...tier, nearHits: stats.hits }] : [],
  );
  return figures.length === 0 ? {} : { tier: tierReport(figures) };
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
