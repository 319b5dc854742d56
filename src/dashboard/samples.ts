import type { Refusal } from '../metrics/refusals.ts';
import type { ShardCounterName, ShardStats } from '../shared/stats-counters.ts';
import type { RequestSeries } from '../metrics/request-times.ts';
import type { TierNode } from '../shared/tier.ts';
import { type Quantiles, quantilesBetween } from './quantiles.ts';

/** The levels of log lines. */
export type Level = 'debug' | 'info' | 'warn' | 'error';
/** What charts mark at the time of an event. */
export type Mark = 'shed' | 'death';

/** A log line. */
export interface KeptEvent {
  /** Counts up with each event. */
  readonly number: number;
  readonly atMs: number;
  readonly level: Level;
  readonly message: string;
  readonly mark?: Mark;
}

/** What of `/stats` the dashboard shows. */
export interface Stats {
  readonly uptimeSeconds: number;
  readonly shards: readonly ShardRow[];
  readonly memory: {
    readonly limitBytes: number;
    readonly thresholdBytes: number;
    readonly ceilingBytes: number;
    readonly usedBytes: number;
    readonly heldBytes: number;
  };
  readonly refusals: Readonly<Record<Refusal, number>>;
  /** Absent where there is no engine behind the shards. */
  readonly tier?: Readonly<Record<TierCount, number>> & { readonly nodes: readonly TierNode[] };
}

const TIER_COUNTS = ['nearHits', 'hits', 'misses', 'invalidations'] as const;
type TierCount = (typeof TIER_COUNTS)[number];

/** Counts are absent while the shard does not answer. */
interface ShardRow extends Partial<ShardStats> {
  readonly shard: number;
  readonly state: string;
  readonly inFlight: number;
}

/** What is read once a second. */
export interface Reading {
  /** Since the epoch. */
  readonly atMs: number;
  readonly stats: Stats;
  readonly times: readonly RequestSeries[];
}

/** Requests per second since the sample before. */
interface Rates {
  readonly get: number;
  readonly put: number;
  readonly delete: number;
  readonly refused: number;
  /** Why, with the names of `/stats`; reasons without a refusal are absent. */
  readonly refusedBy: Readonly<Partial<Record<Refusal, number>>>;
}

/** Entries that have gone since the sample before, by why. */
interface Gone {
  readonly evicted: number;
  readonly shed: number;
  readonly expired: number;
}

interface ShardSample {
  readonly shard: number;
  readonly state: string;
  readonly inFlight: number;
  readonly entries: number;
  readonly liveBytes: number;
  readonly reservedBytes: number;
  /** Since the shard's start; null before the first read. */
  readonly hitRatio: number | null;
}

/** The engine behind the shards. */
interface TierSample {
  /** Per second since the sample before; null where a shard did not answer in between. */
  readonly rates: Readonly<Record<TierCount, number>> | null;
  readonly nodes: readonly TierNode[];
}

/** One message of the feed. Null stands for what is not known: there is no reading before, or nothing was asked. */
export interface Sample {
  readonly atMs: number;
  readonly uptimeSeconds: number;
  readonly memory: Stats['memory'];
  readonly rates: Rates | null;
  readonly gone: Gone | null;
  readonly hitRatio: number | null;
  /** Of all reads since the shards' start. */
  readonly totalHitRatio: number | null;
  readonly latencyMs: Quantiles | null;
  /** Null where there is none. */
  readonly tier: TierSample | null;
  readonly shards: readonly ShardSample[];
  readonly events: readonly KeptEvent[];
}

export function sampleOf(
  reading: Reading,
  before: Reading | undefined,
  events: readonly KeptEvent[],
): Sample {
  const { atMs, stats, times } = reading;
  const { memory } = stats;
  const { limitBytes, thresholdBytes, ceilingBytes, usedBytes, heldBytes } = memory;
  return {
    atMs,
    uptimeSeconds: stats.uptimeSeconds,
    memory: { limitBytes, thresholdBytes, ceilingBytes, usedBytes, heldBytes },
    rates: before ? ratesBetween(before, reading) : null,
    gone: before ? goneBetween(before.stats, stats) : null,
    hitRatio: before
      ? hitRatioOf(
          growth(before.stats, stats, 'hits'),
          growth(before.stats, stats, 'misses'),
          tierGrowth(before.stats, stats, 'hits'),
        )
      : null,
    totalHitRatio: hitRatioOf(sum(stats, 'hits'), sum(stats, 'misses'), stats.tier?.hits ?? 0),
    latencyMs: before ? (quantilesBetween(before.times, times) ?? null) : null,
    tier: stats.tier ? { rates: tierRates(before, reading), nodes: stats.tier.nodes } : null,
    shards: stats.shards.map(shardSample),
    events,
  };
}

function secondsBetween(before: Reading, after: Reading): number {
  return Math.max(0.001, (after.atMs - before.atMs) / 1000);
}

function ratesBetween(before: Reading, after: Reading): Rates {
  const seconds = secondsBetween(before, after);
  const refusedBy = refusalsBetween(before.stats, after.stats, seconds);
  const grown = (name: ShardCounterName): number => growth(before.stats, after.stats, name) / seconds;
  return {
    get: grown('hits') + grown('misses'),
    put: grown('puts'),
    delete: grown('deletes'),
    refused: Object.values(refusedBy).reduce((total, rate) => total + rate, 0),
    refusedBy,
  };
}

/** @returns refusals per second. */
function refusalsBetween(before: Stats, after: Stats, seconds: number): Rates['refusedBy'] {
  const reasons = Object.keys(after.refusals) as Refusal[];
  const rates = reasons.map((reason) => [
    reason,
    (after.refusals[reason] - before.refusals[reason]) / seconds,
  ]);
  return Object.fromEntries(rates.filter(([, rate]) => rate !== 0));
}

function goneBetween(before: Stats, after: Stats): Gone {
  return {
    evicted: growth(before, after, 'evicted'),
    shed: growth(before, after, 'shedEntries'),
    expired: growth(before, after, 'expired'),
  };
}

function tierRates(before: Reading | undefined, after: Reading): TierSample['rates'] {
  if (!before?.stats.tier || answering(before.stats) !== answering(after.stats)) return null;
  const seconds = secondsBetween(before, after);
  const rates = TIER_COUNTS.map((name) => [name, tierGrowth(before.stats, after.stats, name) / seconds]);
  return Object.fromEntries(rates) as Record<TierCount, number>;
}

/** The sums are those of the shards that answer. A shard that was replaced has counted from zero. */
function tierGrowth(before: Stats, after: Stats, name: TierCount): number {
  if (!before.tier || !after.tier || answering(before) !== answering(after)) return 0;
  return Math.max(0, after.tier[name] - before.tier[name]);
}

function answering({ shards }: Stats): number {
  return shards.filter(({ hits }) => hits !== undefined).length;
}

function shardSample({ shard, state, inFlight, ...stats }: ShardRow): ShardSample {
  const { entries = 0, liveBytes = 0, reservedBytes = 0, hits = 0, misses = 0 } = stats;
  return { shard, state, inFlight, entries, liveBytes, reservedBytes, hitRatio: ratio(hits, misses) };
}

function sum({ shards }: Stats, name: ShardCounterName): number {
  return shards.reduce((total, row) => total + (row[name] ?? 0), 0);
}

/** Of a counter over all shards. One that does not answer adds nothing; one that is new has counted from zero. */
function growth(before: Stats, after: Stats, name: ShardCounterName): number {
  return after.shards.reduce((total, row, i) => {
    const now = row[name];
    const then = before.shards[i]?.[name];
    if (now === undefined || then === undefined) return total;
    return total + (now < then ? now : now - then);
  }, 0);
}

/**
 * @param nearHits reads that found their entry in the shards.
 * @param nearMisses reads that did not.
 * @param engineHits how many of the misses found their entry in the engine. A miss may have been counted one sample earlier.
 */
function hitRatioOf(nearHits: number, nearMisses: number, engineHits: number): number | null {
  return ratio(nearHits + engineHits, Math.max(0, nearMisses - engineHits));
}

function ratio(hits: number, misses: number): number | null {
  return hits + misses === 0 ? null : hits / (hits + misses);
}
