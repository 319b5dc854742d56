/** Upper bounds of the buckets of request durations, in ms. Above the last one there is one more bucket. */
export const BOUNDS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000] as const;

const BUCKETS = BOUNDS_MS.length + 1;
const BOUNDS = Float64Array.from(BOUNDS_MS);
/** Statuses have three digits. */
const STATUSES = 1000;

/** What a request asked for: a method and a route, both from small closed sets, never what a client wrote. */
export interface RequestKind {
  readonly method: string;
  readonly route: string;
}

/** The status of a request whose client went, or was cut off, before the answer had begun. */
export const NO_STATUS = 0;

/** All requests of one kind with one status, since the start. Plain data: it may cross threads and be added up. */
export interface RequestSeries extends RequestKind {
  readonly status: number;
  /** Requests that took as long as each of `BOUNDS_MS` at most, then all of them. */
  readonly cumulative: readonly number[];
  readonly sumMs: number;
}

interface Series {
  readonly kind: number;
  readonly status: number;
  /** Requests in each bucket alone. */
  readonly counts: Float64Array;
  sumMs: number;
}

/**
 * Histograms of how long requests took, by kind and status. Recording one costs a few nanoseconds, where a client library
 * for Prometheus takes half a microsecond: see ADR 55.
 */
export class RequestTimes {
  private readonly kinds: readonly RequestKind[];
  private readonly series = new Map<number, Series>();

  /** @param kinds may grow; a kind is recorded by its place. */
  constructor(kinds: readonly RequestKind[]) {
    this.kinds = kinds;
  }

  record(kind: number, status: number, tookMs: number): void {
    const series = this.series.get(kind * STATUSES + status) ?? this.begin(kind, status);
    let bucket = 0;
    while (bucket < BOUNDS.length && tookMs > BOUNDS[bucket]) bucket++;
    series.counts[bucket]++;
    series.sumMs += tookMs;
  }

  /** Everything so far. The difference of two snapshots is what happened between them. */
  snapshot(): readonly RequestSeries[] {
    return [...this.series.values()].map(({ kind, status, counts, sumMs }) => {
      let total = 0;
      const cumulative = Array.from(counts, (count) => (total += count));
      const { method, route } = this.kinds[kind];
      return { method, route, status, cumulative, sumMs };
    });
  }

  private begin(kind: number, status: number): Series {
    const series = { kind, status, counts: new Float64Array(BUCKETS), sumMs: 0 };
    this.series.set(kind * STATUSES + status, series);
    return series;
  }
}
