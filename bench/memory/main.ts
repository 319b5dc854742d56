import { parseArgs } from 'node:util';
import { parseNames, readFlags } from '../lib/flags.ts';
import { machineText } from '../lib/machine.ts';
import { inRounds, runSteps, type Step } from '../lib/progress.ts';
import { rowOf, writeReport } from '../lib/report.ts';
import { installedServers } from '../store/servers.ts';
import { SUBJECT_NAMES } from '../store/subjects.ts';
import { footprint, serverFootprint } from './footprint.ts';
import { replacement } from './replacement.ts';
import { memoryReport, type MemoryResults } from './report.ts';
import { shed } from './shed.ts';

const PARTS = ['footprints', 'replacements', 'sheds'];
const HELP = `Resident bytes per entry beside other caches; how full our store's blocks stay while content is replaced;
what one shed order gives back. Every measurement is a process of its own; rounds are interleaved.

  npm run bench:memory [-- --quick] [--only ${PARTS.join(',')}]

  --quick   less than a minute: shows that everything works
  --only    only these parts

With either, the report goes to bench/results/raw.
`;

const { quick, only } = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
  });
  return { quick: values.quick, only: parseNames('only', values.only, PARTS) };
});
const MIB = 2 ** 20;
const scale = quick
  ? { rounds: 1, entries: [200_000], contentBytes: 64 * MIB, turnovers: 2, heldBytes: 128 * MIB }
  : {
      rounds: 3,
      entries: [1_000_000, 5_000_000],
      contentBytes: 256 * MIB,
      turnovers: 10,
      heldBytes: 1024 * MIB,
    };
const { contentBytes, turnovers, heldBytes } = scale;
const results: MemoryResults = { machine: machineText(), scale, footprints: [], replacements: [], sheds: [] };

function footprintSteps(entries: number): Step[] {
  const { footprints } = results;
  return inRounds(scale.rounds, [
    ...SUBJECT_NAMES.map((subject) =>
      rowOf(footprints, [subject, entries], () => footprint({ subject, entries })),
    ),
    ...installedServers().map((name) =>
      rowOf(footprints, [name, entries], () => serverFootprint(name, entries)),
    ),
  ]);
}

/** One round: the random choices are the same every time, and so are the store's own figures. */
function replacementSteps(): Step[] {
  return (['log-uniform', 'uniform'] as const).map((sizes) =>
    rowOf(results.replacements, [sizes], () => replacement({ sizes, contentBytes, turnovers })),
  );
}

function shedSteps(): Step[] {
  const steps = (['100 B', 'log-uniform'] as const).flatMap((sizes) =>
    [false, true].map((isScattered) => {
      const labels = [sizes, isScattered ? 'scattered' : 'together'];
      return rowOf(results.sheds, labels, () => shed({ sizes, heldBytes, isScattered }));
    }),
  );
  return inRounds(scale.rounds, steps);
}

const isWanted = (part: string): boolean => only.length === 0 || only.includes(part);
await runSteps([
  ...(isWanted('footprints') ? scale.entries.flatMap(footprintSteps) : []),
  ...(isWanted('replacements') ? replacementSteps() : []),
  ...(isWanted('sheds') ? shedSteps() : []),
]);
await writeReport(memoryReport(results), results, !quick && only.length === 0);
