import { markdownTable } from '../lib/report.ts';
import { median, quantile } from '../lib/statistics.ts';
import { type Figure, type Measurement, pairedRatios, roundsOf } from './measurement.ts';
import type { Peer } from './peers.ts';
import type { Plan } from './plan.ts';
import { type Workload, WORKLOADS } from './workloads.ts';

const FIGURES: Readonly<Record<string, Figure>> = {
  'requests/s': 'requestsPerSecond',
  'CPU µs/request': 'cpuMicros',
  'main thread µs/request': 'mainThreadMicros',
  'p50 µs': 'p50Micros',
  'p99 µs': 'p99Micros',
};

/**
 * Measures two servers in turns.
 * @param seconds of a turn. Short turns are better: a shared machine is faster and slower by the second.
 */
export function planOfTwo(
  pair: readonly [Peer, Peer],
  only: readonly string[],
  rounds: number,
  seconds: number,
): Plan {
  const peers = pair.map(({ name }) => name);
  return {
    peers: pair,
    workloads: WORKLOADS.filter(({ name }) => only.includes(name)).map((workload) =>
      besides(workload, peers),
    ),
    keyCount: 100_000,
    rounds,
    seconds,
    settleSeconds: 0.1,
    warmUpSeconds: 2,
  };
}

/** The other server's turn comes next, whatever else judges the workload. */
function besides(workload: Workload, peers: readonly string[]): Workload {
  return { ...workload, peers, judgedBy: undefined };
}

/** The quotient of each round's neighbours: its median and quartiles. */
export function ratioTable({ peers, workloads }: Plan, measurements: readonly Measurement[]): string {
  const rows = workloads.flatMap(({ name, title }) => {
    const [ours, theirs] = peers.map((peer) => roundsOf(measurements, name, peer.name));
    return Object.entries(FIGURES).map(([heading, figure]) => {
      const ratios = pairedRatios(ours, theirs, figure);
      const [above, below] = [ours, theirs].map((rounds) =>
        median(rounds.map((each) => each[figure])).toPrecision(4),
      );
      const half = `${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`;
      return [title, heading, Number(above), Number(below), median(ratios).toFixed(3), half];
    });
  });
  const labels = peers.map(({ label }) => label);
  return markdownTable(['workload', 'figure', ...labels, 'ratio', 'middle half of rounds'], rows);
}
