import { markdownTable, printPage } from '../lib/report.ts';
import { median, quantile } from '../lib/statistics.ts';
import { type Figure, type Measurement, errorsOf, pairedRatios, roundsOf } from './measurement.ts';
import type { Peer } from './peers.ts';
import type { Plan } from './plan.ts';
import { LoadGenerator, runPlan } from './run.ts';
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

/**
 * Measures the two, and prints their ratios.
 * @param starts how often both servers are started anew. The same code is faster in one process than in the next, by some
 *   percent, from the first request to the last: with one start such luck looks like a difference.
 * @throws Error if an answer was wrong or missing.
 */
export async function measureTwo(plan: Plan, starts = 1): Promise<Measurement[]> {
  const generator = new LoadGenerator();
  try {
    const measurements: Measurement[] = [];
    for (let start = 0; start < starts; start++) {
      // The server that starts first is the slower one by some percent, even with the same code.
      const peers = start % 2 === 0 ? plan.peers : plan.peers.toReversed();
      for (const measurement of await runPlan({ ...plan, peers }, generator, true)) {
        measurements.push({ ...measurement, round: measurement.round + start * plan.rounds });
      }
    }
    await printPage(ratioTable(plan, measurements));
    const errors = errorsOf(measurements);
    if (errors > 0) throw new Error(`${errors} answers were wrong or missing: the figures mean nothing`);
    return measurements;
  } finally {
    await generator.close();
  }
}

/** The quotient of each round's neighbours: its median and quartiles. */
function ratioTable({ peers, workloads }: Plan, measurements: readonly Measurement[]): string {
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
