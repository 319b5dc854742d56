import { SERVER_SETUP } from '../lib/child.ts';
import { KEY_BYTES, VALUE_BYTES } from '../lib/data.ts';
import { type Columns, faultOf, middle, most, type Report, type Series, seriesTable } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { OURS } from '../store/subjects.ts';
import { judge, type Verdict } from '../targets.ts';
import type { Footprint } from './footprint.ts';
import type { ReplacementResult } from './replacement.ts';
import type { ShedResult } from './shed.ts';

/** All that a run measured; a part that was left out is empty. */
export interface MemoryResults {
  readonly machine: string;
  readonly scale: { readonly contentBytes: number; readonly turnovers: number; readonly rounds: number };
  /** By cache and number of entries. */
  readonly footprints: Series<Footprint>[];
  /** By the sizes of values. */
  readonly replacements: Series<ReplacementResult>[];
  /** By the sizes of values and where the oldest entries lie. */
  readonly sheds: Series<ShedResult>[];
}

const MIB = 2 ** 20;

const FOOTPRINT_COLUMNS: Columns<Footprint> = {
  'resident bytes per entry': middle(({ overheadBytes }) => overheadBytes, 1),
  fault: faultOf,
};

const REPLACEMENT_COLUMNS: Columns<ReplacementResult> = {
  entries: middle(({ entries }) => entries),
  'live ÷ reserved': middle(({ liveShare }) => liveShare, 3),
  lowest: middle(({ lowestLiveShare }) => lowestLiveShare, 3),
  'after idling': middle(({ idleLiveShare }) => idleLiveShare, 3),
  'resident ÷ reserved': middle(({ rssToReserved }) => rssToReserved, 3),
};

const SHED_COLUMNS: Columns<ShedResult> = {
  'held MiB': middle(({ reservedBytes }) => reservedBytes / MIB),
  'entries shed': middle(({ shedEntries }) => shedEntries),
  'resident lower by %': middle(({ rssDropPercent }) => rssDropPercent, 1),
  'total ms': middle(({ totalMs }) => totalMs),
  slices: middle(({ slices }) => slices),
  '> 3 ms': most(({ slowSlices }) => slowSlices),
  'longest ms': most(({ longestMs }) => longestMs, 2),
  'without waiting ms': most(({ longestOwnMs }) => longestOwnMs, 2),
};

function judgeMemory({ footprints, replacements, sheds }: MemoryResults): Verdict[] {
  const ours = footprints.filter(({ labels }) => labels[0] === OURS);
  const drops = sheds.map(({ rounds }) => median(rounds.map(({ rssDropPercent }) => rssDropPercent)));
  const shedRounds = sheds.flatMap(({ rounds }) => rounds);
  const longest = Math.max(...shedRounds.map(({ longestOwnMs }) => longestOwnMs));
  const byClock = Math.max(...shedRounds.map(({ longestMs }) => longestMs)).toFixed(2);
  const all: Series<{ faults: readonly string[] }>[] = [...ours, ...replacements, ...sheds];
  const faults = all.flatMap(({ rounds }) => rounds.flatMap((round) => round.faults));
  return [
    ...ours.map(({ labels, rounds }) => {
      const bytes = median(rounds.map(({ overheadBytes }) => overheadBytes));
      return judge('entryOverhead', bytes, `${labels[1]} entries`);
    }),
    ...replacements.map(({ labels, rounds }) =>
      judge('liveShare', rounds[0].liveShare, `${labels[0]} sizes`),
    ),
    ...(sheds.length === 0
      ? []
      : [
          judge('shedDrop', Math.min(...drops), 'the worst case'),
          judge('shedSlice', longest, `by the clock ${byClock}`),
        ]),
    judge('wrongAnswers', faults.length, faults[0]),
  ];
}

export function memoryReport(results: MemoryResults): Report {
  const { machine, scale, footprints, replacements, sheds } = results;
  return {
    name: 'memory',
    title: 'Memory',
    introduction: `${machine} With ${SERVER_SETUP}. Medians of ${scale.rounds} interleaved rounds.`,
    verdicts: judgeMemory(results),
    parts: [
      '## Resident bytes per entry beyond key and value',
      `Keys of ${KEY_BYTES} and values of ${VALUE_BYTES} bytes.`,
      seriesTable(['', 'entries'], FOOTPRINT_COLUMNS, footprints),
      '## Replacement',
      `${scale.contentBytes / MIB} MiB of values of 10 B to 100 KB, replaced ${scale.turnovers} times over.`,
      seriesTable(['value sizes'], REPLACEMENT_COLUMNS, replacements),
      '## One shed order of 10 %',
      seriesTable(['values', 'oldest entries'], SHED_COLUMNS, sheds),
    ],
  };
}
