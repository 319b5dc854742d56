import { mkdir, writeFile } from 'node:fs/promises';
import { parseCount, readFlags } from '../lib/flags.ts';
import { craftedKeys, type CraftedComparison } from './crafted-child.ts';
import { latency, type LatencyJob, type LatencyResult } from './latency-child.ts';
import { machineFacts } from './machine.ts';
import { operations, type OperationsResult } from './operations-child.ts';
import { latencySvg, operationsSvg, storeMarkdown, storeTargets, type StoreReport } from './report.ts';
import { measureServer } from './server-operations.ts';
import { isInstalled, SERVER_NAMES } from './servers.ts';
import { IN_PROCESS_NAMES } from './subjects.ts';

const HELP = `Our store beside other caches, then by itself at full size, then under crafted keys.
Every measurement is a process of its own, rounds are interleaved.

  npm run bench:store [-- --quick | --full-size-rounds N]

  --quick              about a minute: shows that everything works; its figures are not kept
  --full-size-rounds   measurements with ten million entries, which take longest (default 3)
`;
const flags = readFlags(
  HELP,
  { quick: { type: 'boolean', default: false }, 'full-size-rounds': { type: 'string', default: '3' } },
  (values) => ({
    quick: values.quick,
    fullSizeRounds: parseCount('full-size-rounds', values['full-size-rounds']),
  }),
);
const scale = flags.quick
  ? { rounds: 1, entries: 100_000, latencyEntries: 1_000_000, latencyRounds: 1, craftedEntries: 100_000 }
  : {
      rounds: 3,
      entries: 1_000_000,
      latencyEntries: 10_000_000,
      latencyRounds: flags.fullSizeRounds,
      craftedEntries: 1_000_000,
    };
/** Two numbers on lines of their own. */
const PAIR = /\[\n\s+([\d.]+),\n\s+([\d.]+)\n\s+\]/g;
const RESULTS = new URL('../results/', import.meta.url);

function progress(what: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)}  ${what}\n`);
}

async function runOperations(): Promise<Record<string, OperationsResult[]>> {
  const results: Record<string, OperationsResult[]> = {};
  const servers = SERVER_NAMES.filter(isInstalled);
  for (let round = 1; round <= scale.rounds; round++) {
    for (const subject of IN_PROCESS_NAMES) {
      progress(`operations, round ${round}: ${subject}`);
      const allocator = subject === 'segment store' ? 'fixed threshold' : 'default';
      (results[subject] ??= []).push(await operations.run({ subject, entries: scale.entries }, allocator));
    }
    for (const server of servers) {
      progress(`operations, round ${round}: ${server}`);
      (results[server] ??= []).push(await measureServer(server, scale.entries));
    }
  }
  return results;
}

async function runLatency(): Promise<Record<LatencyJob['limit'], LatencyResult[]>> {
  const results: Record<LatencyJob['limit'], LatencyResult[]> = {
    control: [],
    capacity: [],
    ceiling: [],
    mixed: [],
    upkeep: [],
  };
  for (let round = 1; round <= scale.latencyRounds; round++) {
    for (const limit of ['control', 'capacity', 'ceiling', 'mixed', 'upkeep'] as const) {
      progress(`single operations at ${scale.latencyEntries} entries, ${limit}, round ${round}`);
      results[limit].push(await latency.run({ entries: scale.latencyEntries, limit }, 'fixed threshold'));
    }
  }
  return results;
}

function runCrafted(): Promise<CraftedComparison[]> {
  progress(`crafted keys: ${scale.craftedEntries}`);
  return craftedKeys.run({ entries: scale.craftedEntries, rounds: 3 }, 'fixed threshold');
}

const report: StoreReport = {
  machine: machineFacts(),
  scale,
  operations: await runOperations(),
  ...(await runLatency()),
  crafted: await runCrafted(),
};
const markdown = storeMarkdown(report);
process.stdout.write(markdown);
if (!flags.quick) {
  await mkdir(RESULTS, { recursive: true });
  const json = JSON.stringify({ ...report, targets: storeTargets(report) }, null, 1).replaceAll(
    PAIR,
    '[$1, $2]',
  );
  await writeFile(new URL('store.json', RESULTS), `${json}\n`);
  await writeFile(new URL('store.md', RESULTS), markdown);
  await writeFile(new URL('store-operations.svg', RESULTS), operationsSvg(report));
  await writeFile(new URL('store-latency.svg', RESULTS), latencySvg(report));
}
