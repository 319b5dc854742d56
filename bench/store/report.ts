import { barChartSvg } from '../lib/chart.ts';
import { median } from '../lib/statistics.ts';
import { markdownTable } from '../lib/table.ts';
import type { CraftedComparison } from './crafted-child.ts';
import type { LatencyPhase, LatencyResult } from './latency-child.ts';
import { longestRecurring, SAME_PLACE_STEPS } from './recurring.ts';
import { machineLines, type MachineFacts } from './machine.ts';
import { OPERATIONS, type Operation, type OperationsResult } from './operations-child.ts';
import { type Target, targetsTable } from './targets.ts';
import { KEY_BYTES, VALUE_BYTES } from './workload.ts';

/** All that a run measured: what the pages are made of, and `store.json` itself. */
export interface StoreReport {
  readonly machine: MachineFacts;
  readonly scale: {
    readonly rounds: number;
    readonly entries: number;
    readonly latencyEntries: number;
    readonly latencyRounds: number;
  };
  readonly operations: Record<string, OperationsResult[]>;
  readonly control: LatencyResult[];
  readonly capacity: LatencyResult[];
  readonly ceiling: LatencyResult[];
  readonly mixed: LatencyResult[];
  readonly upkeep: LatencyResult[];
  readonly crafted: CraftedComparison[];
}

/** What has a bound on its longest operation. */
const MEASURED = ['capacity', 'ceiling', 'mixed', 'upkeep'] as const;
const LONGEST_OPERATION_MS = 5;
const LONGEST_PAUSE_MS = 10;
const CRAFTED_RATIO = 1.2;

/** A subject that answered wrongly even once is out. */
function isRight(rounds: readonly OperationsResult[]): boolean {
  return rounds.every((round) => round.faults.length === 0);
}

function medianNanos(rounds: readonly OperationsResult[], operation: Operation): number | null {
  const values = rounds.map((round) => round.nanos[operation]).filter((nanos) => nanos !== null);
  return values.length === 0 ? null : median(values);
}

function operationsTable({ operations }: StoreReport): string {
  const rows = Object.entries(operations).map(([subject, rounds]) => {
    if (!isRight(rounds)) return [`${subject}: disqualified, ${rounds.flatMap((round) => round.faults)[0]}`];
    const times = OPERATIONS.map((operation) => wholeOrDash(medianNanos(rounds, operation)));
    return [subject].concat(times);
  });
  return markdownTable(['', ...OPERATIONS], rows);
}

function wholeOrDash(value: number | null): string {
  return value === null ? '–' : value.toFixed(0);
}

interface LatencyRow {
  readonly limit: string;
  readonly phase: string;
  readonly of: (pick: (phase: LatencyPhase) => number) => number;
  readonly worst: (pick: (phase: LatencyPhase) => number) => number;
  /** The longest operation, in ms without waiting, that took so long in every round; 0 when none took 1 ms in all. */
  readonly recurringMs: number;
  /** The longest collector pause of the round where that was shortest. */
  readonly recurringPauseMs: number;
}

function latencyRows(report: StoreReport): LatencyRow[] {
  return (['control', ...MEASURED] as const).flatMap((limit) => rowsOf(limit, report[limit]));
}

function rowsOf(limit: string, rounds: readonly LatencyResult[]): LatencyRow[] {
  return rounds[0].phases.map(({ phase }, index) => {
    const values = (pick: (p: LatencyPhase) => number): number[] =>
      rounds.map((round) => pick(round.phases[index]));
    return {
      limit,
      phase,
      of: (pick) => median(values(pick)),
      worst: (pick) => Math.max(...values(pick)),
      recurringMs: longestRecurring(rounds.map(({ phases }) => phases[index].slowSteps)),
      recurringPauseMs: Math.min(...values((p) => p.gc.longestMs)),
    };
  });
}

function micros(nanos: number): string {
  return (nanos / 1e3).toFixed(nanos < 1e4 ? 1 : 0);
}

function latencyTable(report: StoreReport): string {
  const times = markdownTable(
    [
      'limit',
      'phase',
      'p50 µs',
      'p99 µs',
      'p99.9 µs',
      'p99.99 µs',
      'longest ms',
      'without waiting ms',
      'in every round ms',
    ],
    latencyRows(report).map(({ limit, phase, of, worst, recurringMs }) => [
      limit,
      phase,
      micros(of((p) => p.p50Nanos)),
      micros(of((p) => p.p99Nanos)),
      micros(of((p) => p.p999Nanos)),
      micros(of((p) => p.p9999Nanos)),
      worst((p) => p.maxMs).toFixed(2),
      worst((p) => p.maxOwnMs).toFixed(2),
      recurringMs === 0 ? '< 1' : recurringMs.toFixed(2),
    ]),
  );
  const pauses = markdownTable(
    [
      'limit',
      'phase',
      'operations',
      '> 1 ms',
      'without waiting',
      'gc pauses',
      'gc ms',
      'longest gc ms',
      'in its best round',
    ],
    latencyRows(report).map(({ limit, phase, of, worst, recurringPauseMs }) => [
      limit,
      phase,
      of((p) => p.operations),
      worst((p) => p.slow),
      worst((p) => p.slowSteps.length),
      of((p) => p.gc.count),
      of((p) => p.gc.totalMs).toFixed(0),
      worst((p) => p.gc.longestMs).toFixed(1),
      recurringPauseMs.toFixed(1),
    ]),
  );
  return `${times}\n${pauses}`;
}

/** The median of the rounds' own ratios: the two sides of a round met the same machine. */
function craftedRatio({ craftedNanos, randomNanos }: CraftedComparison): number {
  return median(craftedNanos.map((nanos, round) => nanos / randomNanos[round]));
}

function craftedTable({ crafted }: StoreReport): string {
  return markdownTable(
    ['keys crafted for', 'keys', 'key bytes', 'crafted ns', 'random ns', 'ratio'],
    crafted.map((comparison) => [
      comparison.name,
      comparison.keys,
      comparison.keyBytes,
      median(comparison.craftedNanos).toFixed(0),
      median(comparison.randomNanos).toFixed(0),
      craftedRatio(comparison).toFixed(2),
    ]),
  );
}

function worstOf(rows: readonly LatencyRow[], limit: string, pick: (phase: LatencyPhase) => number): number {
  return Math.max(...rows.filter((row) => row.limit === limit).map((row) => row.worst(pick)));
}

export function storeTargets(report: StoreReport): Target[] {
  const rows = latencyRows(report);
  const faults = MEASURED.flatMap((limit) => report[limit]).flatMap((result) => result.faults);
  const attacks = report.crafted.filter((comparison) => !comparison.name.startsWith('control'));
  const ratio = Math.max(...attacks.map(craftedRatio));
  const inAllRounds = `in each of ${report.scale.latencyRounds} rounds`;
  const recurringOf = (limit: string): Target => {
    const ms = Math.max(...rows.filter((row) => row.limit === limit).map((row) => row.recurringMs));
    return {
      target: `longest at the same operation ${inAllRounds}, ${limit}: < ${LONGEST_OPERATION_MS} ms`,
      measured: ms === 0 ? 'none took 1 ms' : `${ms.toFixed(2)} ms`,
      isMet: ms < LONGEST_OPERATION_MS,
    };
  };
  const shardRows = rows.filter((row) => row.limit !== 'control');
  const recurringPauseMs = Math.max(...shardRows.map((row) => row.recurringPauseMs));
  const longestOf = (limit: string): Target => {
    const ownMs = worstOf(rows, limit, (p) => p.maxOwnMs);
    const wallMs = worstOf(rows, limit, (p) => p.maxMs);
    const controlMs = worstOf(rows, 'control', (p) => p.maxOwnMs);
    return {
      target: `longest single operation at ${report.scale.latencyEntries} entries, ${limit}: < ${LONGEST_OPERATION_MS} ms`,
      measured: `${ownMs.toFixed(2)} ms (${wallMs.toFixed(2)} ms with waiting for a processor; the control: ${controlMs.toFixed(2)} ms)`,
      isMet: ownMs < LONGEST_OPERATION_MS,
    };
  };
  const pauseMs = Math.max(...shardRows.map((row) => row.worst((p) => p.gc.longestMs)));
  return [
    ...MEASURED.map(longestOf),
    ...(report.scale.latencyRounds > 1 ? MEASURED.map(recurringOf) : []),
    {
      target: `no collector pause > ${LONGEST_PAUSE_MS} ms on the shard's thread`,
      measured: `${pauseMs.toFixed(1)} ms`,
      isMet: pauseMs <= LONGEST_PAUSE_MS,
    },
    {
      target: `the same, of each phase in its best round`,
      measured: `${recurringPauseMs.toFixed(1)} ms`,
      isMet: recurringPauseMs <= LONGEST_PAUSE_MS,
    },
    {
      target: `crafted keys cost ≤ ${CRAFTED_RATIO} × random ones`,
      measured: `${ratio.toFixed(2)} × at the worst`,
      isMet: ratio <= CRAFTED_RATIO,
    },
    {
      target: 'every answer right, at full size too',
      measured: faults[0] ?? 'no fault',
      isMet: faults.length === 0 && isRight(report.operations['segment store']),
    },
  ];
}

export function storeMarkdown(report: StoreReport): string {
  const { scale, machine } = report;
  return `# The store, operation by operation

${machineLines(machine)}
- ${scale.entries} entries of ${KEY_BYTES} + ${VALUE_BYTES} bytes, medians of ${scale.rounds} interleaved rounds, a fresh process for each

## Processor time per operation, ns

The collector's threads included, what making keys and values costs left out. Redis and memcached are measured by
their own processor time, which includes reading the request and writing the answer, pipelined over a unix socket
one command at a time; the others are called inside the process and parse nothing. A \`Map\` and \`lru-cache\` hand
out the string that they were given; the segment store makes a new one.

${operationsTable(report)}
## Single operations, ${scale.latencyEntries} entries

Each timed by itself. "Longest" is the worst of ${scale.latencyRounds} rounds. Other programs share the machine, so a
thread may lose the processor in the middle of an operation: "without waiting" leaves that out.
*Capacity* displaces by number of entries; *ceiling* by bytes, after reads have scattered the oldest entries. *Mixed*
puts large values where all entries are small, thousands of them for each MiB. *Upkeep* is what no request waits
for, step by step: entries that expire unasked, and the memory of all that was cleared. *Control* is no cache at all: a
loop of arithmetic for about as long, without and with the first touch of fresh pages as often as a fill makes it, in
blocks that the collector takes away. What it shows is the machine's and the engine's own.
Every round is the same sequence of operations on a store with the same seed: what the store itself takes long for
comes again at the same operation (within ${SAME_PLACE_STEPS}), and the longest such is "in every round". "In its best round"
is the longest collector pause of a phase, in the round where that was shortest.

${latencyTable(report)}
## Crafted keys

Put and get of every key, ns per key. The first two sets share one 32-bit hash under the unseeded function
(multicollisions); the next two were searched for, key by key, under our own function with a seed of zero. The control
gives those to a store whose seed is zero: there the attack must work, or the keys would prove nothing.

${craftedTable(report)}
## Targets

${targetsTable(storeTargets(report))}`;
}

export function operationsSvg({ operations, scale }: StoreReport): string {
  const right = Object.entries(operations).filter(([, rounds]) => isRight(rounds));
  return barChartSvg({
    title: `Processor time per operation, ${scale.entries} entries`,
    unit: 'ns; Redis and memcached include their protocol',
    groups: OPERATIONS.map((operation) => ({
      label: operation,
      bars: right.flatMap(([label, rounds]) => {
        const value = medianNanos(rounds, operation);
        return value === null ? [] : [{ label, value }];
      }),
    })),
  });
}

export function latencySvg(report: StoreReport): string {
  const bars: readonly (readonly [string, (phase: LatencyPhase) => number])[] = [
    ['p50', (p) => p.p50Nanos / 1e3],
    ['p99', (p) => p.p99Nanos / 1e3],
    ['p99.9', (p) => p.p999Nanos / 1e3],
    ['p99.99', (p) => p.p9999Nanos / 1e3],
  ];
  return barChartSvg({
    title: `Single operations at ${report.scale.latencyEntries} entries`,
    unit: 'µs by the clock',
    groups: latencyRows(report).map(({ limit, phase, of }) => ({
      label: `${phase} (${limit})`,
      bars: bars.map(([label, pick]) => ({ label, value: of(pick) })),
    })),
  });
}
