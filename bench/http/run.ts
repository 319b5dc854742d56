import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { HttpServer } from '../lib/peers.ts';
import { Progress, say } from '../lib/progress.ts';
import {
  cpuMicros,
  errorCount,
  type Job,
  type Measurement,
  type Reply,
  requestsPerSecond,
  SATURATED_SHARE,
} from './measurement.ts';
import type { Peer } from './peers.ts';
import { dataSetsOf, type Plan, stepsOf } from './plan.ts';
import { type DialectName, DIALECTS } from './requests.ts';
import { type DataSetName, keyCountOf, keyOf, valueOf } from './workloads.ts';

/** How many keys of each data set are read back and compared before anything is measured. */
const CHECKED_KEYS = 200;

/** The bench's end of the load generator's process. One job at a time. */
export class LoadGenerator {
  // 'advanced' so that timelines cross as typed arrays.
  private readonly child: ChildProcess = fork(fileURLToPath(new URL('generator.ts', import.meta.url)), {
    serialization: 'advanced',
  });

  run(job: Job): Promise<Exclude<Reply, { failure: string }>> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error('the load generator ended'));
      this.child.once('exit', onExit);
      this.child.once('message', (reply: Reply) => {
        this.child.off('exit', onExit);
        if ('failure' in reply) reject(new Error(reply.failure));
        else resolve(reply);
      });
      this.child.send(job);
    });
  }

  close(): void {
    if (this.child.connected) this.child.disconnect();
  }
}

/**
 * Starts all peers of a plan, loads them, checks their answers and measures them in turns. A peer that does not start or
 * answers wrongly is left out, or, with `needsAll`, ends the run.
 */
export async function runPlan(
  plan: Plan,
  generator: LoadGenerator,
  needsAll = false,
): Promise<Measurement[]> {
  const servers = new Map<Peer, HttpServer>();
  try {
    for (const peer of plan.peers) {
      try {
        servers.set(peer, await peer.start());
        await loadAndCheck(plan, peer, servers.get(peer)!, generator);
        say(`${peer.label}: ready`);
      } catch (error) {
        if (needsAll) throw error;
        say(`${peer.label}: left out: ${String(error)}`);
        await servers.get(peer)?.stop();
        servers.delete(peer);
      }
    }
    return await runRounds(plan, servers, generator);
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()));
  }
}

/** @throws Error that says what was wrong with its answers. */
async function loadAndCheck(
  plan: Plan,
  peer: Peer,
  server: HttpServer,
  generator: LoadGenerator,
): Promise<void> {
  const { label, kind, dialect } = peer;
  const { keyCount } = plan;
  const { port } = server;
  if (kind === 'constant') return;
  for (const dataSet of dataSetsOf(plan, peer)) {
    const { sample } = await generator.run({ kind: 'load', port, dialect, keyCount, dataSet });
    const wrong = await countWrong(dialect, port, dataSet, keyCount);
    if (errorCount(sample) === 0 && wrong === 0) continue;
    const errors = JSON.stringify(sample.errors);
    const text = `${label}: ${wrong} of ${CHECKED_KEYS} keys read back wrong; while loading: ${errors}`;
    throw new Error(`${text}\n${server.outputTail().trimEnd()}`);
  }
}

async function countWrong(
  dialect: DialectName,
  port: number,
  dataSet: DataSetName,
  keyCount: number,
): Promise<number> {
  const { getPath, readValue, statuses } = DIALECTS[dialect];
  const count = keyCountOf(dataSet, keyCount);
  const encoding = dataSet === 'text' ? 'gzip' : 'identity';
  let wrong = 0;
  for (let check = 0; check < CHECKED_KEYS; check++) {
    const index = Math.floor((check * count) / CHECKED_KEYS);
    const response = await fetch(`http://127.0.0.1:${port}${getPath(keyOf(dataSet, index))}`, {
      // A connection each, so that every worker of a server is asked.
      headers: { Connection: 'close', 'Accept-Encoding': encoding },
    });
    const body = await response.text();
    const isRight =
      response.status === statuses.hit &&
      readValue(body) === valueOf(dataSet, index) &&
      (response.headers.get('content-encoding') ?? 'identity') === encoding;
    if (!isRight) wrong++;
  }
  return wrong;
}

async function runRounds(
  plan: Plan,
  servers: ReadonlyMap<Peer, HttpServer>,
  generator: LoadGenerator,
): Promise<Measurement[]> {
  const { keyCount, settleSeconds } = plan;
  const steps = stepsOf(plan, [...servers.keys()]);
  const progress = new Progress(steps.length);
  const measurements: Measurement[] = [];
  for (const { workload, peer, round, seconds } of steps) {
    const { port, pids } = servers.get(peer)!;
    const { dialect } = peer;
    const job = { port, dialect, keyCount, workload: workload.name, seconds, settleSeconds, pids };
    const { sample } = await generator.run({ kind: 'measure', ...job });
    const measurement = { peer: peer.name, workload: workload.name, round, ...sample };
    if (round > 0) measurements.push(measurement);
    progress.step(inWords(measurement));
  }
  return measurements;
}

function inWords(measurement: Measurement): string {
  const { peer, workload, round, p99Micros, generatorShare } = measurement;
  const errors = errorCount(measurement);
  const parts = [
    `${workload}, ${peer}, ${round === 0 ? 'warm-up' : `round ${round}`}: ${requestsPerSecond(measurement).toFixed(0)}/s`,
    `${cpuMicros(measurement).toFixed(1)} µs each`,
    `p99 ${(p99Micros / 1_000).toFixed(2)} ms`,
    generatorShare > SATURATED_SHARE ? 'generator busy' : '',
    errors > 0 ? `${errors} errors` : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}
