import { parseArgs } from 'node:util';
import { LoadGenerator } from '../http/run.ts';
import { type Sample, SATURATED_SHARE } from '../http/measurement.ts';
import { DIALECTS } from '../http/requests.ts';
import { WORKLOADS, keyOf } from '../http/workloads.ts';
import { parseCount, readFlags } from '../lib/flags.ts';
import { type HttpServer, startOurs, startScript } from '../lib/peers.ts';
import { inRounds, runSteps, say } from '../lib/progress.ts';
import { markdownTable, printPage } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { PacedLoad, type PacedSample } from './paced-load.ts';
import { slowDown, whyNoSlowMotion } from './slow-motion.ts';

const DEFAULT_THREADS = '1+1,2+1,4+1,8+2';
const KEYS = 10_000;
/** The code is compiled by V8 at full speed. */
const WARM_UP_SECONDS = 1.5;
const SETTLE_SECONDS = 0.5;
const SECONDS = 3;
/** GETs per second for each HTTP thread, if it had a whole processor: about a seventh of what it can serve. */
const PACED_PER_SECOND = 6_000;

const HELP = `Measures how the server scales, in slow motion: each of its threads gets a small share of a processor, so that two
processors can stand for ten. Needs control groups of version 1, as root.

  npm run bench:scale -- [--rounds N] [--share PERCENT] [--connections N] [--workload NAME]
                         [--threads HTTP+SHARDS,…]

  --rounds       measurements of ${SECONDS} s each, of which the median counts (default 3)
  --share        percent of a processor for each thread (default 10)
  --connections  for each HTTP thread (default 32)
  --workload     as of npm run bench (default get-hits)
  --threads      how many HTTP threads and shards (default ${DEFAULT_THREADS})
`;

const { rounds, share, connections, workload, threads } = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      share: { type: 'string', default: '10' },
      connections: { type: 'string', default: '32' },
      workload: { type: 'string', default: 'get-hits' },
      threads: { type: 'string', default: DEFAULT_THREADS },
    },
  });
  const found = WORKLOADS.find(({ name }) => name === values.workload);
  if (!found) throw new Error(`--workload: one of ${WORKLOADS.map(({ name }) => name).join(', ')}`);
  return {
    rounds: parseCount('rounds', values.rounds),
    share: parseCount('share', values.share) / 100,
    connections: parseCount('connections', values.connections),
    workload: found,
    threads: values.threads.split(',').map(parseThreads),
  };
});

function parseThreads(text: string): { readonly fronts: number; readonly shards: number } {
  const [fronts = '', shards = ''] = text.split('+');
  return { fronts: parseCount('threads', fronts), shards: parseCount('threads', shards) };
}

interface Round extends Sample {
  /** Latencies under a load that is the same for each HTTP thread. */
  readonly pacedP50Micros: number;
  readonly pacedP99Micros: number;
  /** Processor time of each kind of thread, per request. */
  readonly frontMicros: number;
  readonly shardMicros: number;
}

/** A server with some number of HTTP threads. */
class Scale {
  readonly label: string;
  readonly fronts: number;
  readonly rounds: Round[] = [];
  private readonly startServer: () => Promise<HttpServer>;
  private server: HttpServer | undefined;
  private pacedLoad: PacedLoad | undefined;
  private speedUp = (): void => undefined;

  constructor(label: string, fronts: number, startServer: () => Promise<HttpServer>) {
    this.label = label;
    this.fronts = fronts;
    this.startServer = startServer;
  }

  async start(): Promise<void> {
    const server = await this.startServer();
    this.server = server;
    await generator.load({ port: server.port, dialect: 'cache', keyCount: KEYS, dataSet: workload.dataSet });
    const path = DIALECTS.cache.getPath(keyOf(workload.dataSet, 0));
    this.pacedLoad = new PacedLoad(server.port, path, connections * this.fronts);
    await this.load(WARM_UP_SECONDS);
    this.speedUp = slowDown(server.pids[0], share);
  }

  async measure(): Promise<string> {
    const before = await threadMicros(this.server!.port);
    const sample = await this.load(SECONDS);
    const after = await threadMicros(this.server!.port);
    // Threads are read from outside of the time that is counted.
    const requests = sample.requests * ((SECONDS + SETTLE_SECONDS) / SECONDS);
    const used = (kind: RegExp): number => (sumOf(after, kind) - sumOf(before, kind)) / requests;
    const paced = await this.pace();
    this.rounds.push({
      ...sample,
      pacedP50Micros: paced.p50Micros,
      pacedP99Micros: paced.p99Micros,
      frontMicros: used(/^(?:main|front)/),
      shardMicros: used(/^shard/),
    });
    const isBusy = sample.generatorShare > SATURATED_SHARE ? ', generator busy' : '';
    const errors = sample.errors > 0 ? `, errors: ${JSON.stringify(sample.errorKinds)}` : '';
    const pacedP99 = (paced.p99Micros / 1_000).toFixed(1);
    return `${this.label}: ${sample.requestsPerSecond.toFixed(0)}/s, p99 when paced ${pacedP99} ms${isBusy}${errors}`;
  }

  async stop(): Promise<void> {
    this.speedUp();
    await this.pacedLoad?.close();
    await this.server?.stop();
  }

  figure(name: Exclude<keyof Round, 'errorKinds'>): number {
    return median(this.rounds.map((round) => round[name]));
  }

  private async pace(): Promise<PacedSample> {
    const perSecond = PACED_PER_SECOND * share * this.fronts;
    // What the load before has left behind is not counted.
    await this.pacedLoad!.run(perSecond, SETTLE_SECONDS);
    return this.pacedLoad!.run(perSecond, SECONDS);
  }

  private async load(seconds: number): Promise<Sample> {
    const { port, pids } = this.server!;
    const { sample } = await generator.measure({
      port,
      pids,
      dialect: 'cache',
      keyCount: KEYS,
      seconds,
      settleSeconds: SETTLE_SECONDS,
      workload: { ...workload, connections: connections * this.fronts },
    });
    return sample;
  }
}

/** Processor time of each thread of our server; none of another. */
async function threadMicros(port: number): Promise<Map<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = text.matchAll(/^kvc_thread_cpu_seconds_total\{thread="(.*)"\} (.*)$/gm);
  return new Map([...lines].map(([, thread, seconds]) => [thread, Number(seconds) * 1e6]));
}

function sumOf(micros: ReadonlyMap<string, number>, kind: RegExp): number {
  return [...micros].reduce((sum, [thread, each]) => sum + (kind.test(thread) ? each : 0), 0);
}

const COLUMNS = [
  '',
  'requests/s',
  '× one',
  'p50 ms',
  'p99 ms',
  'paced p50 ms',
  'paced p99 ms',
  'CPU µs',
  'HTTP µs',
  'shards µs',
  'errors',
];

function tableOf(scales: readonly Scale[]): string {
  const rows = scales.map((scale) => {
    const rate = scale.figure('requestsPerSecond');
    return [
      scale.label,
      rate.toFixed(0),
      (rate / scales[0].figure('requestsPerSecond')).toFixed(2),
      (scale.figure('p50Micros') / 1000).toFixed(1),
      (scale.figure('p99Micros') / 1000).toFixed(1),
      (scale.figure('pacedP50Micros') / 1000).toFixed(1),
      (scale.figure('pacedP99Micros') / 1000).toFixed(1),
      scale.figure('cpuMicros').toFixed(1),
      scale.figure('frontMicros').toFixed(1),
      scale.figure('shardMicros').toFixed(1),
      scale.rounds.reduce((sum, { errors }) => sum + errors, 0),
    ];
  });
  return markdownTable(COLUMNS, rows);
}

function ours({ fronts, shards }: (typeof threads)[number]): Scale {
  return new Scale(`${fronts} + ${shards}`, fronts, () => startOurs(shards, { FRONTS: `${fronts}` }));
}

function bare(fronts: number): Scale {
  return new Scale(`bare, ${fronts}`, fronts, () => startScript('bare-threads.ts', { THREADS: `${fronts}` }));
}

const why = whyNoSlowMotion();
if (why !== undefined) {
  say(`not measured: ${why}`);
  process.exit(1);
}
const generator = new LoadGenerator();
const servers = threads.map(ours);
const control = [...new Set(threads.map(({ fronts }) => fronts))].map(bare);
const all = [...servers, ...control];
const title =
  `${workload.title.replace(/, \d+ connections/, '')}; ${connections} connections for each HTTP thread; ` +
  `${share * 100} % of a processor for each thread. "Paced" are ${PACED_PER_SECOND * share} GETs per second for each HTTP ` +
  'thread; otherwise as many requests as they can answer. "8 + 2" means eight HTTP threads and two shards; "bare" ' +
  'threads share a port and nothing else, and give a constant answer: what this machine can scale to.';
try {
  for (const scale of all) await scale.start();
  await runSteps(
    inRounds(
      rounds,
      all.map((scale) => () => scale.measure()),
    ),
  );
  await printPage(`${title}\n\n${tableOf(servers)}\n\n${tableOf(control)}\n`);
} finally {
  await Promise.all(all.map((scale) => scale.stop()));
  await generator.close();
}
