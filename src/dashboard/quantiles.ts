/** Answers of one kind since the start: `counts[i]` took no longer than `boundsMs[i]`, the last of which is Infinity. */
export interface TimesOfKind {
  readonly kind: string;
  readonly boundsMs: readonly number[];
  /** Cumulative: each includes those before it. */
  readonly counts: readonly number[];
}

/** What times how long requests take. */
export interface RequestTimes {
  snapshot(): readonly TimesOfKind[];
}

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** @returns within how many ms a share of the answers between two snapshots came; undefined where there was none. */
export function quantilesBetween(
  before: readonly TimesOfKind[],
  after: readonly TimesOfKind[],
): Quantiles | undefined {
  const boundsMs = after[0]?.boundsMs ?? [];
  const counts = boundsMs.map((_, i) => totalAt(after, i) - totalAt(before, i));
  if ((counts.at(-1) ?? 0) <= 0) return undefined;
  return {
    p50: quantile(boundsMs, counts, 0.5),
    p95: quantile(boundsMs, counts, 0.95),
    p99: quantile(boundsMs, counts, 0.99),
  };
}

function totalAt(times: readonly TimesOfKind[], i: number): number {
  return times.reduce((sum, { counts }) => sum + counts[i], 0);
}

/** Answers are taken to be spread evenly within their bucket. Past the last bound nothing more is known. */
function quantile(boundsMs: readonly number[], counts: readonly number[], share: number): number {
  const rank = counts.at(-1)! * share;
  const i = counts.findIndex((count) => count >= rank);
  const lowMs = i === 0 ? 0 : boundsMs[i - 1];
  if (boundsMs[i] === Infinity) return lowMs;
  const below = i === 0 ? 0 : counts[i - 1];
  return lowMs + ((boundsMs[i] - lowMs) * (rank - below)) / (counts[i] - below);
}
