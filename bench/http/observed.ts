/** What it costs to be watched: processor time per GET with a scrape every second beside it, and without. */
import { parseArgs } from 'node:util';
import { parseCount, readFlags } from '../lib/flags.ts';
import { type HttpServer, startOurs } from '../lib/peers.ts';
import { say } from '../lib/progress.ts';
import { median } from '../lib/statistics.ts';
import { pairedRatios, roundsOf } from './measurement.ts';
import { peerOf } from './peers.ts';
import { measureTwo, planOfTwo } from './side-by-side.ts';
import { DEFAULT_EVENTS, Watcher, judgeScrapes } from './watcher.ts';

/** A whole number of scrapes and updates fits into each turn. */
const SECONDS = 2;
const WORKLOAD = 'get-hits';
/** What being watched may cost: the quotient of processor time per GET. */
const MAX_RATIO = 1.02;

const HELP = `Measures what it costs to be watched: GETs at full load, with a scrape of /metrics every second and without.

  npm run bench:observed -- [--rounds N] [--shards N] [--events PATH]

  --rounds   measurements of each, in turns of ${SECONDS} s (default 20)
  --shards   SHARDS of both servers (default 1)
  --events   also read the event stream at this path by a plain client (default ${DEFAULT_EVENTS}; '' for none)
`;

const { rounds, shards, events } = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '20' },
      shards: { type: 'string', default: '1' },
      events: { type: 'string', default: DEFAULT_EVENTS },
    },
  });
  return {
    rounds: parseCount('rounds', values.rounds),
    shards: parseCount('shards', values.shards),
    events: values.events,
  };
});

let watcher: Watcher | undefined;

/** The servers end with this process. */
function fail(error: unknown): never {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

/** Starts a server and watches it from then on, in both servers' turns. */
async function startObserved(): Promise<HttpServer> {
  const server = await startOurs(shards);
  const own = (watcher = new Watcher(server.port, events, fail));
  return {
    ...server,
    stop: () => {
      own.stop();
      return server.stop();
    },
  };
}

const observed = peerOf('observed', 'observed', 'ours', startObserved);
const alone = peerOf('alone', 'alone', 'ours', () => startOurs(shards));
const plan = planOfTwo([observed, alone], [WORKLOAD], rounds, SECONDS);
try {
  const measurements = await measureTwo(plan);
  const scrapes = judgeScrapes(watcher?.scrapeMs ?? []);
  say(`${scrapes.text}; ${watcher?.eventBytes ?? 0} bytes of events`);
  const [above, below] = plan.peers.map(({ name }) => roundsOf(measurements, WORKLOAD, name));
  const ratio = median(pairedRatios(above, below, 'cpuMicros'));
  say(`processor time per GET: ${ratio.toFixed(3)} × without, ${MAX_RATIO} is allowed`);
  if (ratio > MAX_RATIO || !scrapes.isMet) process.exitCode = 1;
} catch (error) {
  fail(error);
}
