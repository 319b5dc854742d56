/** What it costs to be watched: processor time per GET with a scrape every second beside it, and without. */
import { type ClientRequest, get } from 'node:http';
import { parseCount, readFlags } from '../lib/flags.ts';
import { type HttpServer, startOurs } from '../lib/peers.ts';
import { say } from '../lib/progress.ts';
import { markdownTable } from '../lib/report.ts';
import { median, quantile } from '../lib/statistics.ts';
import {
  cpuMicros,
  errorCount,
  type Figure,
  mainThreadMicros,
  p99Micros,
  pairedRatios,
  requestsPerSecond,
  roundsOf,
} from './measurement.ts';
import { nodePeer } from './peers.ts';
import type { Plan } from './plan.ts';
import { LoadGenerator, runPlan } from './run.ts';
import { workloadNamed } from './workloads.ts';

/** So long that each round has as many scrapes. */
const SECONDS = 2;
const SCRAPE_INTERVAL_MS = 1000;
const WORKLOAD = 'get-hits';
const OBSERVED = 'observed';
const ALONE = 'alone';
/** What being watched may cost: the quotient of processor time per GET. */
const MOST_RATIO = 1.02;

const HELP = `Measures what it costs to be watched: GETs at full load, with a scrape of /metrics every second and without.

  npm run bench:observed -- [--rounds N] [--shards N] [--events PATH]

  --rounds   measurements of each, in turns of ${SECONDS} s (default 10)
  --shards   SHARDS of both servers (default 1)
  --events   also read the event stream at this path by a plain client: /dashboard/events
`;

const FIGURES: Readonly<Record<string, Figure>> = {
  'CPU µs/request': cpuMicros,
  'main thread µs/request': mainThreadMicros,
  'requests/s': requestsPerSecond,
  'p99 µs': p99Micros,
};

const { rounds, shards, events } = readFlags({
  help: HELP,
  options: {
    rounds: { type: 'string', default: '10' },
    shards: { type: 'string', default: '1' },
    events: { type: 'string', default: '' },
  },
  interpret: (values) => ({
    rounds: parseCount('rounds', values.rounds),
    shards: parseCount('shards', values.shards),
    events: values.events,
  }),
});

let scrapes = 0;
let eventBytes = 0;
const scrapeMs: number[] = [];

/** Asks, and takes the answer as it comes. */
function read(port: number, path: string, onBytes: (bytes: number) => void): ClientRequest {
  return get({ port, path, host: '127.0.0.1' }, (response) => {
    if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode}`);
    response.on('data', (chunk: Buffer) => onBytes(chunk.length));
  });
}

/** Starts a server and watches it, measured or not. */
async function startObserved(): Promise<HttpServer> {
  const server = await startOurs(shards);
  const timer = setInterval(() => {
    const beganMs = performance.now();
    read(server.port, '/metrics', () => undefined).once('close', () => {
      scrapes++;
      scrapeMs.push(performance.now() - beganMs);
    });
  }, SCRAPE_INTERVAL_MS);
  const stream = events === '' ? undefined : read(server.port, events, (bytes) => (eventBytes += bytes));
  return {
    ...server,
    stop: () => {
      clearInterval(timer);
      stream?.destroy();
      return server.stop();
    },
  };
}

const plan: Plan = {
  peers: [
    nodePeer(OBSERVED, 'observed', 'ours', startObserved),
    nodePeer(ALONE, 'alone', 'ours', () => startOurs(shards)),
  ],
  workloads: [{ ...workloadNamed(WORKLOAD), peers: [OBSERVED, ALONE], judgedBy: undefined }],
  keyCount: 100_000,
  rounds,
  seconds: SECONDS,
  settleSeconds: 0.1,
  warmUpSeconds: 2,
};
const generator = new LoadGenerator();
try {
  const measurements = await runPlan(plan, generator, true);
  const [observed, alone] = [OBSERVED, ALONE].map((each) => roundsOf(measurements, WORKLOAD, each));
  const rows = Object.entries(FIGURES).map(([name, figure]) => {
    const ratios = pairedRatios(observed, alone, figure);
    const [above, below] = [observed, alone].map((each) => Number(median(each.map(figure)).toPrecision(4)));
    const half = `${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}`;
    return [name, above, below, median(ratios).toFixed(3), half];
  });
  const head = ['figure', OBSERVED, ALONE, 'ratio', 'middle half of rounds'];
  process.stdout.write(`${markdownTable(head, rows)}\n`);
  say(
    `${scrapes} scrapes, median ${median(scrapeMs).toFixed(1)} ms under load; ${eventBytes} bytes of events`,
  );
  const errors = measurements.reduce((sum, each) => sum + errorCount(each), 0);
  if (errors > 0) throw new Error(`${errors} answers were wrong or missing: the figures mean nothing`);
  const ratio = median(pairedRatios(observed, alone, cpuMicros));
  say(`processor time per GET: ${ratio.toFixed(3)} × without, ${MOST_RATIO} is allowed`);
  if (ratio > MOST_RATIO) process.exitCode = 1;
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  generator.close();
}
