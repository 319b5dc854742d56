import type { RoutingFigures, ShardRow } from '../shards/router.ts';
import type { CutOff, Refusal } from './refusals.ts';
import type { RequestSeries } from './request-times.ts';
import type { Traffic } from './traffic.ts';

/** What one HTTP thread knows of its clients, or several together. Plain data: it crosses threads and is added up. */
export interface HttpFigures {
  readonly connections: { readonly open: number; readonly waiting: number; readonly limit: number };
  readonly holds: {
    readonly requests: number;
    readonly unreadBytes: number;
    readonly unsentBytes: number;
  };
  readonly refusals: Readonly<Record<Refusal, number>>;
  readonly cutOffs: Readonly<Record<CutOff, number>>;
  readonly times: readonly RequestSeries[];
  /** One for each shard. */
  readonly routing: readonly RoutingFigures[];
}

/** Where the figures of one HTTP thread come from: its application, and its router. */
export interface HttpSources {
  readonly app: {
    readonly purse: { readonly totals: HttpFigures['holds'] };
    readonly frontDoor: {
      readonly size: number;
      readonly waitingCount: number;
      readonly limits: { readonly maxConnections: number };
    };
    readonly traffic: Pick<Traffic, 'counts' | 'times'>;
  };
  readonly router: { readonly routing: readonly RoutingFigures[] };
}

/** @returns copies: later counts must not change an earlier reading. */
export function readHttpFigures({ app: { purse, frontDoor, traffic }, router }: HttpSources): HttpFigures {
  const { requests, unreadBytes, unsentBytes } = purse.totals;
  const { size: open, waitingCount: waiting, limits } = frontDoor;
  return {
    connections: { open, waiting, limit: limits.maxConnections },
    holds: { requests, unreadBytes, unsentBytes },
    refusals: { ...traffic.counts.refusals },
    cutOffs: { ...traffic.counts.cutOffs },
    times: traffic.times.snapshot(),
    routing: router.routing,
  };
}

/** The figures of all HTTP threads together. */
export function addHttpFigures(all: readonly HttpFigures[]): HttpFigures {
  return all.reduce((sum, one) => ({
    connections: addNumbers(sum.connections, one.connections),
    holds: addNumbers(sum.holds, one.holds),
    refusals: addNumbers(sum.refusals, one.refusals),
    cutOffs: addNumbers(sum.cutOffs, one.cutOffs),
    times: addTimes(sum.times, one.times),
    routing: sum.routing.map((row, shard) => addNumbers(row, one.routing[shard])),
  }));
}

/** What is left of the figures of a thread that has ended: what it had counted, and nothing that it held. */
export function countsAlone(figures: HttpFigures): HttpFigures {
  return {
    ...figures,
    connections: { open: 0, waiting: 0, limit: 0 },
    holds: { requests: 0, unreadBytes: 0, unsentBytes: 0 },
    routing: figures.routing.map(({ busyRejections }) => ({ inFlight: 0, busyRejections })),
  };
}

/** The rows of all shards, with what all HTTP threads count of each. */
export function withRouting(rows: readonly ShardRow[], { routing }: HttpFigures): ShardRow[] {
  return rows.map((row) => ({ ...row, ...routing[row.shard] }));
}

function addNumbers<Name extends string>(
  one: Readonly<Record<Name, number>>,
  other: Readonly<Record<Name, number>>,
): Record<Name, number> {
  const names = Object.keys(one) as Name[];
  return Object.fromEntries(names.map((name) => [name, one[name] + other[name]])) as Record<Name, number>;
}

function addTimes(one: readonly RequestSeries[], other: readonly RequestSeries[]): readonly RequestSeries[] {
  const sums = new Map(one.map((series) => [nameOf(series), series]));
  for (const series of other) {
    const name = nameOf(series);
    const known = sums.get(name);
    sums.set(name, known === undefined ? series : addSeries(known, series));
  }
  return [...sums.values()];
}

function nameOf({ method, route, status }: RequestSeries): string {
  return `${status} ${method} ${route}`;
}

function addSeries(one: RequestSeries, other: RequestSeries): RequestSeries {
  const cumulative = one.cumulative.map((count, bucket) => count + other.cumulative[bucket]);
  return { ...one, cumulative, sumMs: one.sumMs + other.sumMs };
}
