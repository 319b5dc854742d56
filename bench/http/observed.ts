/**
 * What it costs to be watched: processor time per GET with a scrape every second beside it, and without. Both servers are
 * loaded at the same time: on a busy machine a request takes a third more processor time from one second to the next.
 */
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
  type Measurement,
  p99Micros,
  pairedRatios,
  requestsPerSecond,
  roundsOf,
} from './measurement.ts';
import { LoadGenerator } from './run.ts';

/** So long that each round has as many scrapes. */
const SECONDS = 2;
const SCRAPE_INTERVAL_MS = 1000;
const WORKLOAD = 'get-hits';
const PEERS = ['observed', 'alone'] as const;
const TARGET = { dialect: 'cache', keyCount: 20_000 } as const;
/** What being watched may cost: the quotient of processor time per GET. */
const MOST_RATIO = 1.02;

const HELP = `Measures what it costs to be watched: GETs at full load, with a scrape of /metrics every second and without.

  npm run bench:observed -- [--rounds N] [--shards N] [--events PATH]

  --rounds   measurements of both at the same time, ${SECONDS} s each (default 10)
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

/** Loads a server, from a generator of its own. */
async function fill(generator: LoadGenerator, { port }: HttpServer): Promise<void> {
  const { sample } = await generator.run({ ...TARGET, kind: 'load', port, dataSet: 'small' });
  if (errorCount(sample) > 0) throw new Error(`loading failed: ${JSON.stringify(sample.errors)}`);
}

async function measure(
  generator: LoadGenerator,
  { port, pids }: HttpServer,
  peer: string,
  round: number,
): Promise<Measurement> {
  const job = { ...TARGET, port, pids, workload: WORKLOAD, seconds: SECONDS, settleSeconds: 0.2 };
  const { sample } = await generator.run({ kind: 'measure', ...job });
  return { peer, workload: WORKLOAD, round, ...sample };
}

function report(observed: readonly Measurement[], alone: readonly Measurement[]): void {
  const rows = Object.entries(FIGURES).map(([name, figure]) => {
    const ratios = pairedRatios(observed, alone, figure);
    const [above, below] = [observed, alone].map((each) => Number(median(each.map(figure)).toPrecision(4)));
    const half = `${quantile(ratios, 0.25).toFixed(3)} to ${quantile(ratios, 0.75).toFixed(3)}`;
    return [name, above, below, median(ratios).toFixed(3), half];
  });
  const head = ['figure', 'observed', 'alone', 'ratio', 'middle half of rounds'];
  process.stdout.write(`${markdownTable(head, rows)}\n`);
  say(`${scrapeMs.length} scrapes, median ${median(scrapeMs).toFixed(1)} ms; ${eventBytes} bytes of events`);
  const errors = [...observed, ...alone].reduce((sum, each) => sum + errorCount(each), 0);
  if (errors > 0) throw new Error(`${errors} answers were wrong or missing: the figures mean nothing`);
  const ratio = median(pairedRatios(observed, alone, cpuMicros));
  say(`processor time per GET: ${ratio.toFixed(3)} × without, ${MOST_RATIO} is allowed`);
  if (ratio > MOST_RATIO) process.exitCode = 1;
}

const generators = [new LoadGenerator(), new LoadGenerator()] as const;
const servers: HttpServer[] = [];
try {
  servers.push(await startObserved(), await startOurs(shards));
  await Promise.all(servers.map((server, i) => fill(generators[i], server)));
  const rows: Measurement[] = [];
  for (let round = 0; round <= rounds; round++) {
    const [observed, alone] = await Promise.all(
      servers.map((server, i) => measure(generators[i], server, PEERS[i], round)),
    );
    // The first is the warm-up.
    if (round > 0) rows.push(observed, alone);
    say(`round ${round}: ${cpuMicros(observed).toFixed(1)} and ${cpuMicros(alone).toFixed(1)} µs each`);
  }
  report(roundsOf(rows, WORKLOAD, PEERS[0]), roundsOf(rows, WORKLOAD, PEERS[1]));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  for (const generator of generators) generator.close();
}
