import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { readFlags } from '../lib/flags.ts';
import type { Allocator } from '../store/child.ts';
import { machineFacts } from '../store/machine.ts';
import { isInstalled, SERVER_NAMES } from '../store/servers.ts';
import { type InProcessName, IN_PROCESS_NAMES } from '../store/subjects.ts';
import { footprintSvg, replacementSvg, shedSvg } from './charts.ts';
import { footprint } from './footprint-child.ts';
import { serverFootprint } from './footprint-server.ts';
import { replacement, type ReplacementResult } from './replacement-child.ts';
import {
  bestFootprints,
  type FootprintRow,
  memoryMarkdown,
  type MemoryReport,
  memoryTargets,
  PARTS,
  type Part,
  type ShedRow,
} from './report.ts';
import { shed } from './shed-child.ts';
import type { Sizes } from './value-sizes.ts';

const HELP = `Resident bytes per entry beside other caches; how full our store's blocks stay while content is replaced;
what one shed order gives back. Every measurement is a process of its own, rounds are interleaved.

  npm run bench:memory [-- --quick | --only ${PARTS.join('|')}]

  --quick   shows that everything works; its figures are not kept
  --only    only this part; the others are those of the last run
`;
const flags = readFlags(
  HELP,
  { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
  ({ quick, only }) => {
    if (only !== undefined && !PARTS.some((part) => part === only))
      throw new Error(`--only: unknown ${only}`);
    return { quick, only };
  },
);
const MIB = 2 ** 20;
const scale = flags.quick
  ? { rounds: 1, entries: [200_000], contentBytes: 64 * MIB, turnovers: 2, heldBytes: 128 * MIB }
  : {
      rounds: 3,
      entries: [1_000_000, 5_000_000],
      contentBytes: 256 * MIB,
      turnovers: 10,
      heldBytes: 1024 * MIB,
    };
const RESULTS = new URL('../results/', import.meta.url);
const footprints: FootprintRow[] = [];
const ALLOCATORS: readonly Allocator[] = ['default', 'fixed threshold'];

function progress(what: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${what}\n`);
}

/**
 * Our store runs as the server does; the others with the allocator as it is and as we set it, and the better
 * one counts. Which that is, the smallest scale decides for the larger ones.
 */
function allocatorsFor(subject: InProcessName): readonly Allocator[] {
  if (subject === 'segment store') return ['fixed threshold'];
  const decided = bestFootprints(footprints).find((row) => row.subject === subject)?.allocator;
  return decided === undefined || decided === null ? ALLOCATORS : [decided];
}

async function runFootprints(entries: number): Promise<FootprintRow[]> {
  const rows = new Map<string, FootprintRow>();
  const rowOf = (subject: string, allocator: Allocator | null): FootprintRow => {
    const key = `${subject} ${allocator}`;
    const row = rows.get(key) ?? { subject, allocator, entries, rounds: [] };
    rows.set(key, row);
    return row;
  };
  for (let round = 1; round <= scale.rounds; round++) {
    for (const subject of IN_PROCESS_NAMES) {
      for (const allocator of allocatorsFor(subject)) {
        progress(`bytes per entry at ${entries}, round ${round}: ${subject}, ${allocator} allocator`);
        rowOf(subject, allocator).rounds.push(await footprint.run({ subject, entries }, allocator));
      }
    }
    for (const server of SERVER_NAMES.filter(isInstalled)) {
      progress(`bytes per entry at ${entries}, round ${round}: ${server}`);
      rowOf(server, null).rounds.push(await serverFootprint(server, entries));
    }
  }
  return [...rows.values()];
}

/** One run each: what is drawn at random is the same every time, and so are the store's own figures. */
async function runReplacements(): Promise<Record<string, ReplacementResult>> {
  const results: Record<string, ReplacementResult> = {};
  for (const sizes of ['log-uniform', 'uniform'] as const) {
    progress(`content replaced, ${sizes}`);
    const { contentBytes, turnovers } = scale;
    results[sizes] = await replacement.run({ sizes, contentBytes, turnovers }, 'fixed threshold');
  }
  return results;
}

async function runShed(): Promise<ShedRow[]> {
  const cases: readonly (readonly [Sizes, boolean, Allocator])[] = [
    ['100 B', false, 'fixed threshold'],
    ['100 B', true, 'fixed threshold'],
    ['log-uniform', false, 'fixed threshold'],
    ['log-uniform', true, 'fixed threshold'],
    ['100 B', true, 'default'],
  ];
  const rows = cases.map(([sizes, isScattered, allocator]): ShedRow => ({
    sizes,
    isScattered,
    allocator,
    rounds: [],
  }));
  for (let round = 1; round <= scale.rounds; round++) {
    for (const { sizes, isScattered, allocator, rounds } of rows) {
      progress(
        `shed, round ${round}: ${sizes}, ${isScattered ? 'scattered' : 'in order'}, ${allocator} allocator`,
      );
      rounds.push(await shed.run({ sizes, isScattered, heldBytes: scale.heldBytes }, allocator));
    }
  }
  return rows;
}

async function runAllFootprints(): Promise<FootprintRow[]> {
  for (const entries of scale.entries) footprints.push(...(await runFootprints(entries)));
  return footprints;
}

async function readLastReport(): Promise<MemoryReport> {
  return JSON.parse(await readFile(new URL('memory.json', RESULTS), 'utf8'));
}

const last = flags.only === undefined ? undefined : await readLastReport();
const isWanted = (part: Part): boolean => last === undefined || flags.only === part;
const machine = machineFacts();
const measuredAt = (part: Part): string => (isWanted(part) ? machine.date : last!.measured[part]);
const report: MemoryReport = {
  machine,
  measured: {
    footprints: measuredAt('footprints'),
    replacements: measuredAt('replacements'),
    sheds: measuredAt('sheds'),
  },
  scale,
  footprints: isWanted('footprints') ? await runAllFootprints() : last!.footprints,
  replacements: isWanted('replacements') ? await runReplacements() : last!.replacements,
  sheds: isWanted('sheds') ? await runShed() : last!.sheds,
};
const markdown = memoryMarkdown(report);
process.stdout.write(markdown);
if (!flags.quick) {
  await mkdir(RESULTS, { recursive: true });
  const json = JSON.stringify({ ...report, targets: memoryTargets(report) }, null, 1);
  await writeFile(new URL('memory.json', RESULTS), `${json}\n`);
  await writeFile(new URL('memory.md', RESULTS), markdown);
  await writeFile(new URL('memory-per-entry.svg', RESULTS), footprintSvg(report));
  await writeFile(new URL('memory-replacement.svg', RESULTS), replacementSvg(report));
  await writeFile(new URL('memory-shed.svg', RESULTS), shedSvg(report));
}
