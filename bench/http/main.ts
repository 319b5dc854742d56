import { parseArgs } from 'node:util';
import { readFlags } from '../lib/flags.ts';
import { machineText } from '../lib/machine.ts';
import { say } from '../lib/progress.ts';
import { writeReport } from '../lib/report.ts';
import { measureLargePuts } from './large-put.ts';
import { optionsOf, PEER_NAMES, planOf, WORKLOAD_NAMES } from './plan.ts';
import { httpReport } from './report.ts';
import { LoadGenerator, runPlan } from './run.ts';
import { measureShedding } from './shed.ts';

const HELP = `HTTP benchmarks: our server beside others, on this machine.

  npm run bench -- [--quick] [--only NAME,…] [--rounds N]

  --quick   about a minute: fewer workloads, shorter rounds
  --only    only these servers and workloads
  --rounds  measurements of each server and workload, of which the median counts (default 8, with --quick 3)

The report goes to bench/results; with --quick or --only to bench/results/raw.

  servers:   ${PEER_NAMES.join(', ')}
  workloads: ${WORKLOAD_NAMES.join(', ')}, shed, large-put
`;

const options = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
    },
  });
  return optionsOf(values);
});
const isWhole = !options.quick && options.only.length === 0;
const plan = planOf(options);
const machine = machineText();
const generator = new LoadGenerator();
try {
  const measurements = await runPlan(plan, generator);
  const hasShed = isWhole || options.only.includes('shed');
  // Without its result the report still shows what was measured before.
  const shed = hasShed ? await measureShedding(generator).catch((error) => say(String(error))) : undefined;
  const hasLargePut = isWhole || options.only.includes('large-put');
  const largePut = hasLargePut
    ? await measureLargePuts(generator).catch((error) => say(String(error)))
    : undefined;
  const results = { machine, plan, measurements, shed: shed ?? undefined, largePut: largePut ?? undefined };
  await writeReport(httpReport(results), results, isWhole);
} finally {
  await generator.close();
}
