import { parseArgs } from 'node:util';
import { parseCount, readFlags } from '../lib/flags.ts';
import { machineText } from '../lib/machine.ts';
import { inRounds, runSteps } from '../lib/progress.ts';
import { rowOf, writeReport } from '../lib/report.ts';
import { latency, LATENCY_KINDS } from './latency.ts';
import { operations } from './operations.ts';
import { storeReport, type StoreResults } from './report.ts';
import { installedServers, measureServer } from './servers.ts';
import { OURS, SUBJECT_NAMES } from './subjects.ts';

const HELP = `Our store beside other caches, then by itself at full size.
Every measurement is a process of its own; rounds are interleaved.

  npm run bench:store [-- --quick | --full-size-rounds N]

  --quick              about a minute: shows that everything works; the report goes to bench/results/raw
  --full-size-rounds   measurements with ten million entries, which take longest (default 3)
`;

const { quick, fullSizeRounds } = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      'full-size-rounds': { type: 'string', default: '3' },
    },
  });
  const text = values['full-size-rounds'];
  return { quick: values.quick, fullSizeRounds: parseCount('full-size-rounds', text) };
});
const scale = quick
  ? { rounds: 1, entries: 100_000, latencyEntries: 1_000_000, latencyRounds: 1 }
  : { rounds: 3, entries: 1_000_000, latencyEntries: 10_000_000, latencyRounds: fullSizeRounds };
const { entries, latencyEntries } = scale;
const results: StoreResults = { machine: machineText(), scale, operations: [], latency: [] };

const operationSteps = [
  ...SUBJECT_NAMES.map((subject) =>
    rowOf(results.operations, [subject], () =>
      // The others run as they would without us.
      operations({ subject, entries }, subject === OURS ? 'as the server' : 'plain'),
    ),
  ),
  ...installedServers().map((name) => rowOf(results.operations, [name], () => measureServer(name, entries))),
];
const latencySteps = LATENCY_KINDS.map((kind) =>
  rowOf(results.latency, [kind], () => latency({ entries: latencyEntries, kind })),
);
await runSteps([...inRounds(scale.rounds, operationSteps), ...inRounds(scale.latencyRounds, latencySteps)]);
await writeReport(storeReport(results), results, !quick);
