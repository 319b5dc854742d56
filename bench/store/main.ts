import { parseCount, readFlags } from '../lib/flags.ts';
import { machineText } from '../lib/machine.ts';
import { runSteps, type Step } from '../lib/progress.ts';
import { writeReport } from '../lib/report.ts';
import { latency, LATENCY_KINDS } from './latency.ts';
import { operations, type OperationsResult } from './operations.ts';
import { storeReport, type StoreResults } from './report.ts';
import { installedServers, measureServer } from './servers.ts';
import { SUBJECT_NAMES } from './subjects.ts';

const HELP = `Our store beside other caches, then by itself at full size.
Every measurement is a process of its own; rounds are interleaved.

  npm run bench:store [-- --quick | --full-size-rounds N]

  --quick              about a minute: shows that everything works; the report goes to bench/results/raw
  --full-size-rounds   measurements with ten million entries, which take longest (default 3)
`;

const { quick, fullSizeRounds } = readFlags({
  help: HELP,
  options: {
    quick: { type: 'boolean', default: false },
    'full-size-rounds': { type: 'string', default: '3' },
  },
  interpret: (values) => ({
    quick: values.quick,
    fullSizeRounds: parseCount('full-size-rounds', values['full-size-rounds']),
  }),
});
const scale = quick
  ? { rounds: 1, entries: 100_000, latencyEntries: 1_000_000, latencyRounds: 1 }
  : { rounds: 3, entries: 1_000_000, latencyEntries: 10_000_000, latencyRounds: fullSizeRounds };
const { entries, latencyEntries } = scale;
const operationResults: Record<string, OperationsResult[]> = {};
const results: StoreResults = {
  machine: machineText(),
  scale,
  operations: operationResults,
  latency: { control: [], capacity: [], ceiling: [], mixed: [], upkeep: [] },
};

function operationStep(name: string, measure: () => Promise<OperationsResult>): Step {
  const run = async (): Promise<unknown> => (operationResults[name] ??= []).push(await measure());
  return { label: `operations, ${name}`, run };
}

function operationSteps(): Step[] {
  return [
    // The others run as they would without us.
    ...SUBJECT_NAMES.map((subject) =>
      operationStep(subject, () =>
        operations({ subject, entries }, subject === 'segment store' ? 'as the server' : 'plain'),
      ),
    ),
    ...installedServers().map((name) => operationStep(name, () => measureServer(name, entries))),
  ];
}

function latencySteps(): Step[] {
  return LATENCY_KINDS.map((kind) => ({
    label: `single operations, ${kind}`,
    run: async () => results.latency[kind].push(await latency({ entries: latencyEntries, kind })),
  }));
}

await runSteps([
  ...Array.from({ length: scale.rounds }, operationSteps).flat(),
  ...Array.from({ length: scale.latencyRounds }, latencySteps).flat(),
]);
await writeReport(storeReport(results), results, !quick);
