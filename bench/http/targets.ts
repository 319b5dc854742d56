import { markdownTable } from '../lib/table.ts';
import { median } from '../lib/statistics.ts';
import {
  cpuMicrosPerRequest,
  errorCount,
  mainMicrosPerRequest,
  type Measurement,
  requestsPerSecond,
} from './measurement.ts';
import { ALL_PEERS, shardedPeerName } from './peers/all-peers.ts';
import type { ShedResult } from './shed.ts';
import { pairedRatios, type Place } from './summary.ts';

/** One promise about speed, and whether it was kept in this run. */
export interface Target {
  readonly name: string;
  readonly wanted: string;
  /** NaN when this run did not measure it. */
  readonly value: number;
  readonly isMet: boolean;
  readonly note: string;
}

type Figure = (measurement: Measurement) => number;

const OURS = 'kvc';

/** Pure: judges the measurements of a run, but for those with errors. */
export function judgeTargets(measurements: readonly Measurement[], shed: ShedResult | undefined): Target[] {
  // Who answers wrongly is not fast.
  const right = measurements.filter(isRightlyAnswered);
  const ratio = (figure: Figure, above: Place, below: Place): number =>
    median(pairedRatios(right, above, below, figure));
  const { peer: fastest, value: overFastest } = overFastestAlternative(measurements);
  return [
    atMost(
      'GET: processor time per request ÷ bare Fastify',
      1.15,
      ratio(cpuMicrosPerRequest, at('get-hits'), at('get-hits', 'fastify')),
      'goal 1.00',
    ),
    atMost(
      'GET: main thread per request ÷ bare Fastify',
      1.05,
      ratio(mainMicrosPerRequest, at('get-hits'), at('get-hits', 'fastify')),
    ),
    atLeast('GET: requests/s ÷ fastest alternative', 1.1, overFastest, `goal 1.50; fastest: ${fastest}`),
    ...judgeUsers(measurements),
    atLeast('PUT requests/s ÷ GET requests/s', 0.75, ratio(requestsPerSecond, at('put'), at('get-hits'))),
    atLeast(
      'pipelined GET: requests/s ÷ bare Fastify',
      0.9,
      ratio(requestsPerSecond, at('pipelined'), at('pipelined', 'fastify')),
    ),
    ...[1, 4].map((shards) =>
      atMost(
        `1 connection: median latency ÷ bare Fastify, SHARDS=${shards}`,
        1.5,
        ratio(
          (each) => each.p50Micros,
          at('connections-1', shardedPeerName(shards)),
          at('connections-1', 'fastify'),
        ),
      ),
    ),
    atLeast(
      'gzip: requests/s ÷ Fastify compressing each time',
      5,
      ratio(requestsPerSecond, at('gzip'), at('gzip', 'fastify-lru-compress')),
    ),
    atMost(
      'GET p99 during a shed order of 10 % of 1 GiB ÷ just before',
      1.5,
      shed?.p99Ratio ?? Number.NaN,
      shed === undefined ? '' : `${shed.orders.length} orders together`,
    ),
  ];
}

/**
 * What the Python design that this service replaces reached under 100 users, on a machine of its own. For latencies,
 * with users who wait between two requests, there is `npm run bench:users`.
 */
function judgeUsers(measurements: readonly Measurement[]): Target[] {
  const rounds = measurements.filter((each) => each.peer === OURS && each.workload === 'users-100');
  const middle = (figure: Figure): number => (rounds.length === 0 ? Number.NaN : median(rounds.map(figure)));
  return [
    atLeast('100 users: requests/s', 1429, middle(requestsPerSecond)),
    atMost('100 users: failed requests', 0, middle(errorCount)),
  ];
}

function isRightlyAnswered(measurement: Measurement): boolean {
  return errorCount(measurement) === 0;
}

function at(workload: string, peer: string = OURS): Place {
  return { peer, workload };
}

/** Against the alternative that answered rightly and served most GETs. */
function overFastestAlternative(measurements: readonly Measurement[]): { peer: string; value: number } {
  const candidates = ALL_PEERS.filter(({ isAlternative }) => isAlternative).flatMap((peer) => {
    const rounds = measurements.filter((each) => each.peer === peer.name && each.workload === 'get-hits');
    const isRight = rounds.length > 0 && rounds.every(isRightlyAnswered);
    return isRight ? [{ peer, rate: median(rounds.map(requestsPerSecond)) }] : [];
  });
  const fastest = candidates.toSorted((a, b) => b.rate - a.rate)[0];
  if (fastest === undefined) return { peer: 'none measured', value: Number.NaN };
  const [ours, theirs] = [OURS, fastest.peer.name].map((peer) => ({ peer, workload: 'get-hits' }));
  return {
    peer: fastest.peer.label,
    value: median(pairedRatios(measurements.filter(isRightlyAnswered), ours, theirs, requestsPerSecond)),
  };
}

function atMost(name: string, limit: number, value: number, note = ''): Target {
  return { name, wanted: `≤ ${limit.toFixed(2)}`, value, isMet: value <= limit, note };
}

function atLeast(name: string, limit: number, value: number, note = ''): Target {
  return { name, wanted: `≥ ${limit.toFixed(2)}`, value, isMet: value >= limit, note };
}

export function targetsTable(targets: readonly Target[]): string {
  return markdownTable(
    ['target', 'wanted', 'measured', '', 'note'],
    targets.map(({ name, wanted, value, isMet, note }) =>
      Number.isNaN(value)
        ? [name, wanted, '–', 'not measured', note]
        : [name, wanted, value.toFixed(2), isMet ? 'met' : 'SHORT', note],
    ),
  );
}
