import type { Ledger } from './shared/ledger.ts';
import type { Limits } from './config/limits.ts';
import { type Settings, publicSettings } from './config/settings.ts';
import type { ShardRouter, ShardRow } from './shards/router.ts';
import type { MemoryLimit } from './memory/probe.ts';
import type { Supervisor } from './memory/supervisor.ts';

export interface StatsSources {
  readonly settings: Settings;
  readonly memoryLimit: MemoryLimit;
  readonly limits: Limits;
  readonly supervisor: Supervisor;
  readonly router: ShardRouter;
  readonly ledger: Ledger;
}

const COUNTS = [
  'entries',
  'liveBytes',
  'reservedBytes',
  'hits',
  'misses',
  'puts',
  'deletes',
  'cleared',
  'evicted',
  'expired',
  'shedOrders',
  'shedEntries',
  'shedBytes',
] as const;

/** What `/stats` says: totals, one row per shard, memory, and the configuration in force. */
export async function statsReport(sources: StatsSources): Promise<object> {
  const { settings, memoryLimit, limits, supervisor, router, ledger } = sources;
  const rows = await router.stats();
  const shards = rows.map(({ stats, ...row }) => ({ ...row, ...stats }));
  return {
    uptimeSeconds: Math.floor(process.uptime()),
    totals: totals(rows),
    shards,
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
    configuration: publicSettings(settings),
  };
}

function lastOrder({ lastReport }: Supervisor): object | null {
  if (!lastReport) return null;
  const { atMs, ...rest } = lastReport;
  return { at: new Date(atMs).toISOString(), ...rest };
}

function totals(rows: readonly ShardRow[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const count of COUNTS) sums[count] = rows.reduce((sum, row) => sum + (row.stats?.[count] ?? 0), 0);
  for (const count of ['restarts', 'inFlight', 'busyRejections'] as const) {
    sums[count] = rows.reduce((sum, row) => sum + row[count], 0);
  }
  return sums;
}
