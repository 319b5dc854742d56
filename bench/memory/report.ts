import { median } from '../lib/statistics.ts';
import { markdownTable } from '../lib/table.ts';
import type { Allocator } from '../store/child.ts';
import { machineLines, type MachineFacts } from '../store/machine.ts';
import { type Target, targetsTable } from '../store/targets.ts';
import { CONTENT_BYTES, type Footprint } from './footprint-child.ts';
import type { ReplacementResult } from './replacement-child.ts';
import type { ShedResult } from './shed-child.ts';
import type { Sizes } from './value-sizes.ts';

export interface FootprintRow {
  readonly subject: string;
  /** `null` for servers, which bring their own. */
  readonly allocator: Allocator | null;
  readonly entries: number;
  readonly rounds: Footprint[];
}

export interface ShedRow {
  readonly sizes: Sizes;
  readonly isScattered: boolean;
  readonly allocator: Allocator;
  readonly rounds: ShedResult[];
}

export const PARTS = ['footprints', 'replacements', 'sheds'] as const;
export type Part = (typeof PARTS)[number];

/** All that a run measured: what the pages are made of, and `memory.json` itself. */
export interface MemoryReport {
  readonly machine: MachineFacts;
  /** When each part was measured: with `--only`, others are of an earlier run. */
  readonly measured: Readonly<Record<Part, string>>;
  readonly scale: {
    readonly rounds: number;
    readonly contentBytes: number;
    readonly turnovers: number;
    readonly heldBytes: number;
  };
  readonly footprints: readonly FootprintRow[];
  readonly replacements: Readonly<Record<string, ReplacementResult>>;
  readonly sheds: readonly ShedRow[];
}

const OVERHEAD_BYTES = 48;
const OVERHEAD_GOAL_BYTES = 32;
const LIVE_SHARE = 0.85;
const SHED_SHARE = 0.09;
const SLICE_MS = 3;
const MIB = 2 ** 20;

export function overhead(row: FootprintRow): number {
  return median(row.rounds.map((round) => round.overheadBytes));
}

/** A subject that answered wrongly even once is out; of two allocators the better one counts. */
export function bestFootprints(footprints: readonly FootprintRow[]): FootprintRow[] {
  const right = footprints.filter((row) => row.rounds.every((round) => round.faults.length === 0));
  return right.filter((row) =>
    right.every(
      (other) =>
        other.subject !== row.subject || other.entries !== row.entries || overhead(row) <= overhead(other),
    ),
  );
}

function footprintTable(report: MemoryReport): string {
  const best = new Set(bestFootprints(report.footprints));
  return markdownTable(
    ['', 'entries', 'allocator', 'resident bytes per entry', 'by its own account', ''],
    report.footprints.map((row) => [
      row.subject,
      row.entries,
      row.allocator ?? 'its own',
      overhead(row).toFixed(1),
      row.rounds[0].ownOverheadBytes?.toFixed(1) ?? '–',
      row.rounds.flatMap((round) => round.faults)[0] ?? (best.has(row) ? '' : 'not counted'),
    ]),
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function replacementTable({ replacements }: MemoryReport): string {
  return markdownTable(
    [
      'value sizes',
      'entries',
      'live ÷ reserved',
      'least',
      'content ÷ reserved',
      'after idling',
      'RSS ÷ reserved',
    ],
    Object.entries(replacements).map(([sizes, result]) => [
      sizes,
      result.entries,
      percent(result.end.liveToReserved),
      percent(result.leastLiveToReserved),
      percent(result.end.contentToReserved),
      percent(result.afterMaintenance.liveToReserved),
      percent(result.rssToReserved),
    ]),
  );
}

export function shedLabel({ sizes, isScattered, allocator }: ShedRow): string {
  const label = `${sizes}, ${isScattered ? 'scattered by reads' : 'in order of age'}`;
  return allocator === 'default' ? `${label}, default allocator` : label;
}

/** Of what was reserved before the order; what the thread waited for a processor does not count as time. */
export function rssDropShare({ rssDropAfterOwnSecondBytes, reservedBytes }: ShedResult): number {
  return rssDropAfterOwnSecondBytes / reservedBytes;
}

function rssDropShareByClock({ rssDropAfterSecondBytes, reservedBytes }: ShedResult): number {
  return rssDropAfterSecondBytes / reservedBytes;
}

function shedTable({ sheds }: MemoryReport): string {
  return markdownTable(
    [
      'values',
      'held MiB',
      'shed MiB',
      'RSS lower by, 1 s by the clock',
      'without waiting',
      'total ms',
      'without waiting',
      'slices',
      '> 3 ms',
      'longest ms',
      'without waiting',
    ],
    sheds.map((row) => {
      const of = (pick: (round: ShedResult) => number): number => median(row.rounds.map(pick));
      return [
        shedLabel(row),
        (of((r) => r.reservedBytes) / MIB).toFixed(0),
        (of((r) => r.shedBytes) / MIB).toFixed(0),
        percent(of(rssDropShareByClock)),
        percent(of(rssDropShare)),
        of((r) => r.totalMs).toFixed(0),
        of((r) => r.totalOwnMs).toFixed(0),
        of((r) => r.slices).toFixed(0),
        Math.max(...row.rounds.map((r) => r.slowSlices)),
        Math.max(...row.rounds.map((r) => r.longestSlices[0].ms)).toFixed(2),
        Math.max(...row.rounds.map((r) => r.longestOwnMs)).toFixed(2),
      ];
    }),
  );
}

export function memoryTargets(report: MemoryReport): Target[] {
  const own = report.footprints.filter(({ subject }) => subject === 'segment store');
  const served = report.sheds.filter(({ allocator }) => allocator !== 'default');
  const dropShare = Math.min(...served.map((row) => median(row.rounds.map(rssDropShare))));
  const shedRounds = served.flatMap((row) => row.rounds);
  const dropShareByClock = Math.min(...served.map((row) => median(row.rounds.map(rssDropShareByClock))));
  const totalMs = Math.max(...served.map((row) => median(row.rounds.map((round) => round.totalOwnMs))));
  const sliceMs = Math.max(...shedRounds.map((round) => round.longestOwnMs));
  const sliceWallMs = Math.max(...shedRounds.map((round) => round.longestSlices[0].ms));
  const faults = [
    ...own.flatMap((row) => row.rounds),
    ...Object.values(report.replacements),
    ...report.sheds.flatMap((row) => row.rounds),
  ].flatMap((result) => result.faults);
  return [
    ...own.flatMap((row) =>
      [OVERHEAD_BYTES, OVERHEAD_GOAL_BYTES].map((limit) => ({
        target: `resident bytes per entry beyond ${CONTENT_BYTES}, ${row.entries} entries: ${limit === OVERHEAD_BYTES ? '' : 'goal '}≤ ${limit}`,
        measured: overhead(row).toFixed(1),
        isMet: overhead(row) <= limit,
      })),
    ),
    ...Object.entries(report.replacements).map(([sizes, { end, leastLiveToReserved }]) => ({
      target: `live ÷ reserved after ${report.scale.turnovers} turnovers, ${sizes}: ≥ ${LIVE_SHARE}`,
      measured: `${end.liveToReserved.toFixed(3)} (never below ${leastLiveToReserved.toFixed(3)})`,
      isMet: end.liveToReserved >= LIVE_SHARE,
    })),
    {
      target: `one order of 10 %: RSS lower by ≥ ${SHED_SHARE * 100} % of what was held within 1 s`,
      measured: `${(dropShare * 100).toFixed(2)} % at the worst (${percent(dropShareByClock)} with waiting for a processor); done in ${totalMs.toFixed(0)} ms`,
      isMet: dropShare >= SHED_SHARE,
    },
    {
      target: `no slice of a shed order over ${SLICE_MS} ms`,
      measured: `${sliceMs.toFixed(2)} ms (${sliceWallMs.toFixed(2)} ms with waiting for a processor)`,
      isMet: sliceMs <= SLICE_MS,
    },
    { target: 'every answer right', measured: faults[0] ?? 'no fault', isMet: faults.length === 0 },
  ];
}

export function memoryMarkdown(report: MemoryReport): string {
  const { machine, scale } = report;
  return `# Memory

${machineLines(machine)}
- measured: ${PARTS.map((part) => `${part} ${report.measured[part]}`).join(', ')}
- medians of ${scale.rounds} interleaved rounds, a fresh process for each

## Resident bytes per entry beyond key and value

Keys of 16 and values of 100 bytes. Resident memory after the fill and the most thorough collection there is, less
that before, less ${CONTENT_BYTES}. Other caches inside the process run with the system's allocator as it is and as
our server sets it; the better one counts.

${footprintTable(report)}
## Replacement

${scale.contentBytes / MIB} MiB of values of 10 B to 100 KB, replaced ${scale.turnovers} times over at random, one
operation in five a delete. *Live* counts an entry's header, padding and slot as its own; *content* only key and value.
*Least* is the lowest after any single operation.

${replacementTable(report)}
## One shed order of 10 %

${scale.heldBytes / MIB} MiB held. *In order of age*, the oldest entries lie together; *scattered by reads*, every
block holds some, and the room they leave must be squeezed out before a byte goes back. "Without waiting" leaves out
what the thread waited for a processor, on a machine that others use too. Slices are asked to end after 0.5 ms.

${shedTable(report)}
## Targets

${targetsTable(memoryTargets(report))}`;
}
