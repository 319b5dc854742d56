import { SERVER_SETUP } from '../lib/child.ts';
import { KEY_BYTES, VALUE_BYTES } from '../lib/data.ts';
import {
  type Columns,
  markdownTable,
  middle,
  most,
  type Report,
  type Series,
  seriesTable,
} from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { judge, targetsTable, type Verdict } from '../targets.ts';
import { LATENCY_KINDS, type LatencyKind, type LatencyResult } from './latency.ts';
import { OPERATIONS, type OperationsResult } from './operations.ts';
import { longestRecurring, type Phase } from './timing.ts';

/** All that a run measured. */
export interface StoreResults {
  readonly machine: string;
  readonly scale: { readonly rounds: number; readonly entries: number; readonly latencyEntries: number };
  readonly operations: Readonly<Record<string, OperationsResult[]>>;
  readonly latency: Readonly<Record<LatencyKind, LatencyResult[]>>;
}

/** A subject that answered wrongly even once is out. */
function operationsTable({ operations }: StoreResults): string {
  const rows = Object.entries(operations).map(([subject, rounds]) => {
    const [fault] = rounds.flatMap(({ faults }) => faults);
    if (fault !== undefined) return [`${subject}: disqualified, ${fault}`];
    const nanos = OPERATIONS.map((each) => median(rounds.flatMap((round) => round.nanos[each] ?? [])));
    return [subject].concat(nanos.map((each) => (Number.isNaN(each) ? '–' : each.toFixed(0))));
  });
  return markdownTable(['', ...OPERATIONS], rows);
}

/** Each phase in all rounds. */
function phasesOf({ latency }: StoreResults, kinds: readonly LatencyKind[]): Series<Phase>[] {
  return kinds.flatMap((kind) =>
    latency[kind][0].phases.map(({ phase, operations }, index) => ({
      labels: [kind, phase, operations],
      rounds: latency[kind].map(({ phases }) => phases[index]),
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

function judgeStore(results: StoreResults): Verdict[] {
  const kinds = LATENCY_KINDS.filter((kind) => kind !== 'control');
  const longest = (kind: LatencyKind, pick: (phase: Phase) => number): number =>
    Math.max(...phasesOf(results, [kind]).flatMap(({ rounds }) => rounds.map(pick)));
  const all = phasesOf(results, kinds).map(({ rounds }) => rounds);
  const own = [...kinds.flatMap((kind) => results.latency[kind]), ...results.operations['segment store']];
  const faults = own.flatMap((result) => result.faults);
  const controlMs = longest('control', ({ maxOwnMs }) => maxOwnMs).toFixed(2);
  return [
    ...kinds.map((kind) => {
      const note = `${kind}; by the clock ${longest(kind, ({ maxMs }) => maxMs).toFixed(2)}; control ${controlMs}`;
      return judge(
        'longestOperation',
        longest(kind, ({ maxOwnMs }) => maxOwnMs),
        note,
      );
    }),
    ...kinds.map((kind) => {
      const recurring = phasesOf(results, [kind]).map(({ rounds }) => recurringMs(rounds));
      // In a single round everything recurs.
      return judge(
        'recurringOperation',
        results.latency[kind].length > 1 ? Math.max(...recurring) : undefined,
        kind,
      );
    }),
    judge('collectorPause', Math.max(...all.flat().map(({ pauseMs }) => pauseMs))),
    judge('recurringPause', Math.max(...all.map(shortestPauseMs))),
    judge('wrongAnswers', faults.length, faults[0]),
  ];
}

export function storeReport(results: StoreResults): Report {
  const { scale, machine, latency } = results;
  const parts = [
    '# The store, operation by operation',
    `${machine} Our store runs with ${SERVER_SETUP}, as the server does. bench/README.md says how to read it.`,
    '## Targets',
    targetsTable(judgeStore(results)),
    '## Processor time per operation, ns',
    `${scale.entries} entries of ${KEY_BYTES} + ${VALUE_BYTES} bytes, medians of ${scale.rounds} interleaved rounds.`,
    operationsTable(results),
    '## Single operations',
    `${scale.latencyEntries} entries, ${latency.control.length} interleaved rounds.`,
    seriesTable(['', 'phase', 'operations'], PHASE_COLUMNS, phasesOf(results, LATENCY_KINDS)),
  ];
  return { name: 'store', parts };
}
