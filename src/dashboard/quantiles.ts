import { BOUNDS_MS, NO_STATUS, type RequestSeries } from '../metrics/request-times.ts';

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** The data API and the routes of build tools. What others take says nothing of the cache. */
const DATA_ROUTE = /^\/(?:cache|put|get|kv|batch|v1|v8)(?:\/|$)/;
/** Not answers of the cache: no answer at all, and refusals, which are fast however slow the cache is. */
const LEFT_OUT: ReadonlySet<number> = new Set([NO_STATUS, 429, 503]);

/** @returns within how many ms a share of the answers between two snapshots came; undefined where there was none. */
export function quantilesBetween(
  before: readonly RequestSeries[],
  after: readonly RequestSeries[],
): Quantiles | undefined {
  const earlier = totals(before);
  const counts = totals(after).map((count, i) => count - earlier[i]);
  if (counts.at(-1) === 0) return undefined;
  return { p50: quantile(counts, 0.5), p95: quantile(counts, 0.95), p99: quantile(counts, 0.99) };
}

/** Answers that took as long as each bound at most, then all. */
function totals(all: readonly RequestSeries[]): number[] {
  const answered = all.filter(({ route, status }) => !LEFT_OUT.has(status) && DATA_ROUTE.test(route));
  const none = Array.from({ length: BOUNDS_MS.length + 1 }, () => 0);
  return answered.reduce((sums, { cumulative }) => sums.map((sum, i) => sum + cumulative[i]), none);
}

/** Answers are taken to be spread evenly within their bucket. Past the last bound nothing more is known. */
function quantile(counts: readonly number[], share: number): number {
  const rank = counts.at(-1)! * share;
  const i = counts.findIndex((count) => count >= rank);
  const lowMs = i === 0 ? 0 : BOUNDS_MS[i - 1];
  if (i === BOUNDS_MS.length) return lowMs;
  const below = i === 0 ? 0 : counts[i - 1];
  return lowMs + ((BOUNDS_MS[i] - lowMs) * (rank - below)) / (counts[i] - below);
}
