import { SERVER_SETUP } from '../lib/child.ts';
import { KEY_BYTES, VALUE_BYTES } from '../lib/data.ts';
import { type Columns, faultOf, middle, most, type Report, type Series, seriesTable } from '../lib/report.ts';
import { judge, type Verdict } from '../targets.ts';
import type { LatencyResult } from './latency.ts';
import { OPERATIONS, type OperationsResult } from './operations.ts';
import { OURS } from './subjects.ts';
import { longestRecurring, type Phase } from './timing.ts';

/** All that a run measured. */
export interface StoreResults {
  readonly machine: string;
  readonly scale: { readonly rounds: number; readonly entries: number; readonly latencyEntries: number };
  /** By cache. */
  readonly operations: Series<OperationsResult>[];
  /** By kind of sequence. */
  readonly latency: Series<LatencyResult>[];
}

const OPERATION_COLUMNS: Columns<OperationsResult> = {
  ...Object.fromEntries(
    OPERATIONS.map((operation) => {
      const figure = (round: OperationsResult): number => round.nanos[operation] ?? Number.NaN;
      return [operation, middle(figure)];
    }),
  ),
  fault: faultOf,
};

/** Each phase in all rounds. */
function phasesOf(latency: readonly Series<LatencyResult>[]): Series<Phase>[] {
  return latency.flatMap(({ labels, rounds }) =>
    rounds[0].phases.map(({ phase, operations }, index) => ({
      labels: [...labels, phase, operations],
      rounds: rounds.map(({ phases }) => phases[index]),
    })),
  );
}

/** The longest operation, in ms without waiting, that was as slow in every round; 0 if none took 1 ms in all. */
function recurringMs(rounds: readonly Phase[]): number {
  return longestRecurring(rounds.map(({ slowSteps }) => slowSteps));
}

function shortestPauseMs(rounds: readonly Phase[]): number {
  return Math.min(...rounds.map(({ pauseMs }) => pauseMs));
}

const PHASE_COLUMNS: Columns<Phase> = {
  'p50 µs': middle(({ p50Nanos }) => p50Nanos / 1e3, 1),
  'p99 µs': middle(({ p99Nanos }) => p99Nanos / 1e3, 1),
  'p99.9 µs': middle(({ p999Nanos }) => p999Nanos / 1e3, 1),
  'p99.99 µs': middle(({ p9999Nanos }) => p9999Nanos / 1e3, 1),
  'longest ms': most(({ maxMs }) => maxMs, 2),
  'without waiting ms': most(({ maxOwnMs }) => maxOwnMs, 2),
  'in every round ms': (rounds) => (recurringMs(rounds) === 0 ? '< 1' : recurringMs(rounds).toFixed(2)),
  'longest gc ms': most(({ pauseMs }) => pauseMs, 1),
  'in its best round': (rounds) => shortestPauseMs(rounds).toFixed(1),
};

function judgeStore({ latency, operations }: StoreResults): Verdict[] {
  const kinds = latency.filter(({ labels }) => labels[0] !== 'control');
  const longest = (series: readonly Series<LatencyResult>[], pick: (phase: Phase) => number): number =>
    Math.max(...phasesOf(series).flatMap(({ rounds }) => rounds.map(pick)));
  const control = latency.filter((series) => !kinds.includes(series));
  const controlMs = longest(control, ({ maxOwnMs }) => maxOwnMs).toFixed(2);
  const phases = phasesOf(kinds).map(({ rounds }) => rounds);
  const own = [...kinds, ...operations.filter(({ labels }) => labels[0] === OURS)];
  const faults = own.flatMap(({ rounds }) => rounds.flatMap((round) => round.faults));
  return [
    ...kinds.map((kind) => {
      const byClock = longest([kind], ({ maxMs }) => maxMs).toFixed(2);
      const ownMs = longest([kind], ({ maxOwnMs }) => maxOwnMs);
      return judge(
        'longestOperation',
        ownMs,
        `${kind.labels[0]}; by the clock ${byClock}; control ${controlMs}`,
      );
    }),
    ...kinds.map((kind) => {
      const recurring = Math.max(...phasesOf([kind]).map(({ rounds }) => recurringMs(rounds)));
      // In a single round everything recurs.
      return judge('recurringOperation', kind.rounds.length > 1 ? recurring : undefined, `${kind.labels[0]}`);
    }),
    judge('collectorPause', Math.max(...phases.flat().map(({ pauseMs }) => pauseMs))),
    judge('recurringPause', Math.max(...phases.map(shortestPauseMs))),
    judge('wrongAnswers', faults.length, faults[0]),
  ];
}

export function storeReport(results: StoreResults): Report {
  const { scale, machine, operations, latency } = results;
  return {
    name: 'store',
    title: 'The store, operation by operation',
    introduction: `${machine} Our store runs with ${SERVER_SETUP}, as the server does.`,
    verdicts: judgeStore(results),
    parts: [
      '## Processor time per operation, ns',
      `${scale.entries} entries of ${KEY_BYTES} + ${VALUE_BYTES} bytes, medians of ${scale.rounds} interleaved rounds.`,
      seriesTable([''], OPERATION_COLUMNS, operations),
      '## Single operations',
      `${scale.latencyEntries} entries, ${latency[0].rounds.length} interleaved rounds.`,
      seriesTable(['', 'phase', 'operations'], PHASE_COLUMNS, phasesOf(latency)),
    ],
  };
}
