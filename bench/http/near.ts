/** What an engine behind the shards costs near hits: GETs of entries that have a copy, with TIER_URL and without. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseCount, readFlags } from '../lib/flags.ts';
import { type HttpServer, startOurs, startRedis } from '../lib/peers.ts';
import { freePort, temporaryDirectory } from '../lib/process.ts';
import { say } from '../lib/progress.ts';
import { median } from '../lib/statistics.ts';
import { pairedRatios, roundsOf } from './measurement.ts';
import { peerOf } from './peers.ts';
import { measureTwo, planOfTwo } from './side-by-side.ts';

const SECONDS = 2;
const WORKLOAD = 'get-hits';
/** The least quotient of requests per second. */
const MIN_RATIO = 0.95;

const HELP = `Measures what an engine behind the shards costs near hits: GETs at full load, with TIER_URL and without.

  npm run bench:near -- [--rounds N] [--shards N]

  --rounds   measurements of each, in turns of ${SECONDS} s (default 20)
  --shards   SHARDS of both servers (default 1)
`;

const { rounds, shards } = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, shards: { type: 'string', default: '1' } },
  });
  return { rounds: parseCount('rounds', values.rounds), shards: parseCount('shards', values.shards) };
});

/** The server has copies of all that was put through it. */
async function startNear(): Promise<HttpServer> {
  const port = await freePort();
  const redis = await startRedis(join(temporaryDirectory('near'), 'redis'), port);
  const server = await startOurs(shards, { TIER_URL: `redis://127.0.0.1:${port}` });
  return { ...server, stop: () => server.stop().then(() => redis.stop()) };
}

const near = peerOf('near', 'near', 'ours', startNear);
const alone = peerOf('alone', 'alone', 'ours', () => startOurs(shards));
const plan = planOfTwo([near, alone], [WORKLOAD], rounds, SECONDS);
try {
  const measurements = await measureTwo(plan);
  const [above, below] = plan.peers.map(({ name }) => roundsOf(measurements, WORKLOAD, name));
  const ratio = median(pairedRatios(above, below, 'requestsPerSecond'));
  say(`near hits: ${ratio.toFixed(3)} × the requests per second without an engine, ${MIN_RATIO} is wanted`);
  if (ratio < MIN_RATIO) process.exitCode = 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
