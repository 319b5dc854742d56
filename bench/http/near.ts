/** What an engine behind the shards costs: near hits beside a server without one, tier hits and misses beside webdis. */
import { parseArgs } from 'node:util';
import { parseCount, readFlags } from '../lib/flags.ts';
import { startOurs } from '../lib/peers.ts';
import { middle, printPage, seriesTable } from '../lib/report.ts';
import { say } from '../lib/progress.ts';
import { median } from '../lib/statistics.ts';
import { type Measurement, errorsOf, pairedRatios, roundsOf } from './measurement.ts';
import { SharedEngine, startNear } from './near-servers.ts';
import { peerOf } from './peers.ts';
import type { Plan } from './plan.ts';
import { LoadGenerator, runPlan } from './run.ts';
import { type Workload, WORKLOADS } from './workloads.ts';

const SECONDS = 1;
const CONNECTIONS = [64, 1];
/** Of all reads of a server that is to have no copies, so many may find one. */
const MAX_NEAR_SHARE = 0.01;

const HELP = `Measures what an engine behind the shards costs, with TIER_URL and at full load, then with one connection:

  near hits   GETs of entries that have a copy, beside a server without an engine
  tier hits   GETs of entries that only Redis holds, beside webdis over the same Redis
  misses      GETs of keys that nobody has, beside webdis over the same Redis

  npm run bench:near -- [--rounds N] [--shards N]

  --rounds   measurements of each, in turns of ${SECONDS} s (default 20)
  --shards   SHARDS of our servers (default 1)
`;

const { rounds, shards } = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, shards: { type: 'string', default: '1' } },
  });
  return { rounds: parseCount('rounds', values.rounds), shards: parseCount('shards', values.shards) };
});

/** What is read, of which server, beside which other, and the least quotient of requests/s that is wanted. */
const READS = [
  { title: 'near hit', of: 'get-hits', pair: ['near', 'alone'], minRatio: 0.95 },
  { title: 'tier hit', of: 'get-hits', pair: ['tier', 'webdis'], minRatio: 0.6 },
  { title: 'miss', of: 'get-misses', pair: ['tier', 'webdis'], minRatio: undefined },
] as const;

function workloadOf({ title, of, pair }: (typeof READS)[number], connections: number): Workload {
  const base = WORKLOADS.find(({ name }) => name === of)!;
  return { ...base, name: nameOf(title, connections), title, peers: pair, connections, judgedBy: undefined };
}

function nameOf(title: string, connections: number): string {
  return `${title}, ${connections} connection${connections === 1 ? '' : 's'}`;
}

const engine = new SharedEngine(shards);
const plan: Plan = {
  peers: [
    peerOf('near', 'with an engine', 'ours', () => startNear(shards)),
    peerOf('alone', 'without an engine', 'ours', () => startOurs(shards)),
    peerOf('tier', 'with an engine', 'ours', () => engine.startTier()),
    peerOf('webdis', 'webdis', 'alternative', () => engine.startWebdis(), 'webdis'),
  ],
  workloads: CONNECTIONS.flatMap((connections) => READS.map((read) => workloadOf(read, connections))),
  keyCount: 100_000,
  rounds,
  seconds: SECONDS,
  settleSeconds: 0.1,
  warmUpSeconds: 2,
};

function table(measurements: readonly Measurement[]): string {
  const series = plan.workloads.flatMap(({ name, title, peers, connections }) =>
    peers.map((peer) => {
      const { label } = plan.peers.find((each) => each.name === peer)!;
      return { labels: [title, label, connections], rounds: roundsOf(measurements, name, peer) };
    }),
  );
  const columns = {
    'requests/s': middle<Measurement>((round) => round.requestsPerSecond),
    'p50 ms': middle<Measurement>((round) => round.p50Micros / 1000, 2),
    'p99 ms': middle<Measurement>((round) => round.p99Micros / 1000, 2),
    'CPU µs/request': middle<Measurement>((round) => round.cpuMicros, 1),
  };
  return seriesTable(['read', 'server', 'connections'], columns, series);
}

/** Says how each read compares with its neighbour. @returns whether all that is wanted is reached. */
function judge(measurements: readonly Measurement[]): boolean {
  const verdicts = READS.map(({ title, pair, minRatio }) => {
    const [above, below] = pair.map((peer) => roundsOf(measurements, nameOf(title, CONNECTIONS[0]), peer));
    const ratio = median(pairedRatios(above, below, 'requestsPerSecond'));
    const wanted = minRatio === undefined ? '' : `, ${minRatio} is wanted`;
    const other = plan.peers.find(({ name }) => name === pair[1])!.label;
    say(`${title}: ${ratio.toFixed(3)} × the requests per second of the server ${other}${wanted}`);
    return minRatio === undefined || ratio >= minRatio;
  });
  return verdicts.every((isMet) => isMet);
}

const generator = new LoadGenerator();
try {
  const measurements = await runPlan(plan, generator, true);
  await printPage(table(measurements));
  const errors = errorsOf(measurements);
  if (errors > 0) throw new Error(`${errors} answers were wrong or missing: the figures mean nothing`);
  const { nearShare } = engine;
  say(`${(nearShare * 100).toFixed(2)} % of the reads that were to ask Redis found a copy`);
  if (nearShare > MAX_NEAR_SHARE) throw new Error('too many found a copy: the figures mean nothing');
  if (!judge(measurements)) process.exitCode = 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  await generator.close();
  await engine.stop();
}
