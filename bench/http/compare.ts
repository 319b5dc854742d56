/** Whether the working tree is faster or slower than another commit: both side by side, in the same minutes. */
import { execFileSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, quantile } from '../lib/statistics.ts';
import { markdownTable } from '../lib/table.ts';
import { LoadGenerator } from './load-generator.ts';
import {
  cpuMicrosPerRequest,
  errorCount,
  mainMicrosPerRequest,
  type Measurement,
  requestsPerSecond,
} from './measurement.ts';
import { keyValueCache } from './peers/node-peers.ts';
import type { LoadedPeer } from './peers/peer.ts';
import { parseCount } from '../lib/flags.ts';
import { dataSetsOf, type Plan } from './plan.ts';
import { type Prepared, prepare } from './prepare.ts';
import { runRounds } from './run.ts';
import { pairedRatios } from './summary.ts';
import { temporaryDirectory } from './temporary-directory.ts';
import { WORKLOADS } from './workloads.ts';

const DEFAULT_WORKLOADS = 'get-hits,put,pipelined,connections-1';

/** Turns are short and many: what a shared machine is capable of changes by the second. */
const SECONDS = 0.6;

const HELP = `Compares the working tree with another commit.

  npm run bench:compare <git ref> -- [--rounds N] [--shards N] [--only NAME,…]

  --rounds   measurements of each, in turns of ${SECONDS} s (default 30)
  --shards   SHARDS of both servers (default 1)
  --only     of ${WORKLOADS.map(({ name }) => name).join(', ')}
             (default ${DEFAULT_WORKLOADS})
`;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OURS = 'working-tree';
const THEIRS = 'commit';

const FIGURES: readonly [string, (measurement: Measurement) => number][] = [
  ['requests/s', requestsPerSecond],
  ['CPU µs/request', cpuMicrosPerRequest],
  ['main thread µs/request', mainMicrosPerRequest],
  ['p50 µs', (each) => each.p50Micros],
  ['p99 µs', (each) => each.p99Micros],
];

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Checks a commit out beside this tree, with this tree's dependencies; removed when the process ends. */
function checkOut(ref: string): string {
  const commit = commitOf(ref);
  const directory = join(temporaryDirectory('compare'), 'tree');
  process.once('exit', () => git('worktree', 'remove', '--force', directory));
  git('worktree', 'add', '--detach', directory, commit);
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  return directory;
}

function commitOf(ref: string): string {
  try {
    return git('rev-parse', '--verify', `${ref}^{commit}`);
  } catch {
    throw new Error(`${ref}: git knows no such commit`);
  }
}

function git(...args: string[]): string {
  return execFileSync('git', args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
}

interface CompareOptions {
  readonly rounds: number;
  readonly shards: number;
  readonly workloads: readonly string[];
}

async function compare(ref: string, { rounds, shards, workloads }: CompareOptions): Promise<void> {
  const unknown = workloads.find((name) => !WORKLOADS.some((workload) => workload.name === name));
  if (unknown !== undefined) throw new Error(`--only: there is no workload ${unknown}`);
  const peers = [
    keyValueCache({ name: OURS, label: 'working tree', shards, root: ROOT }),
    keyValueCache({ name: THEIRS, label: ref, shards, root: checkOut(ref) }),
  ];
  const plan: Plan = {
    peers,
    workloads: WORKLOADS.flatMap((workload) =>
      // The other server's turn comes next, whatever else judges the workload.
      workloads.includes(workload.name)
        ? [{ ...workload, peers: [OURS, THEIRS], judgedBy: workload.name }]
        : [],
    ),
    keyCount: 100_000,
    rounds,
    seconds: SECONDS,
    settleSeconds: 0.1,
    warmUpSeconds: 2,
    withShedding: false,
  };
  const generator = new LoadGenerator();
  const prepared: Prepared[] = [];
  try {
    for (const peer of peers) {
      const one = await prepare(peer, dataSetsOf(plan, peer), plan.keyCount, generator);
      prepared.push(one);
      if (one.fault !== undefined) throw new Error(`${peer.label}: ${one.fault}`);
    }
    const servers = new Map<string, LoadedPeer>(prepared.map(({ loaded }) => [loaded.peer.name, loaded]));
    const measurements = await runRounds(plan, servers, generator, report);
    process.stdout.write(ratioTable(plan, measurements, ref));
  } finally {
    generator.close();
    await Promise.all(prepared.map((one) => one.close()));
  }
}

/** The quotient of each round's neighbours: its median and quartiles. */
function ratioTable({ workloads }: Plan, measurements: readonly Measurement[], ref: string): string {
  const rows = workloads.flatMap(({ name, title }) =>
    FIGURES.map(([figureName, figure]) => {
      const [ours, theirs] = [OURS, THEIRS].map((peer) => ({ peer, workload: name }));
      const ratios = pairedRatios(measurements, ours, theirs, figure);
      const middle = (peer: string): string =>
        median(
          measurements.filter((each) => each.peer === peer && each.workload === name).map(figure),
        ).toLocaleString('en-US', { maximumSignificantDigits: 4 });
      const range = `${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`;
      return [title, figureName, middle(OURS), middle(THEIRS), median(ratios).toFixed(3), range];
    }),
  );
  const errors = measurements.reduce((sum, each) => sum + errorCount(each), 0);
  const table = markdownTable(
    ['workload', 'figure', 'working tree', ref, 'ratio', 'middle half of rounds'],
    rows,
  );
  return errors > 0
    ? `${table}\n${errors} answers were wrong or missing: the figures mean nothing.\n`
    : table;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '30' },
      shards: { type: 'string', default: '1' },
      only: { type: 'string', default: DEFAULT_WORKLOADS },
      help: { type: 'boolean', default: false },
    },
  });
  const [ref] = positionals;
  if (values.help || ref === undefined) {
    process.stdout.write(HELP);
    return;
  }
  await compare(ref, {
    rounds: parseCount('rounds', values.rounds),
    shards: parseCount('shards', values.shards),
    workloads: values.only.split(','),
  });
}

try {
  await main();
} catch (error) {
  report(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
