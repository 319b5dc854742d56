import { Piscina } from 'piscina';
import type { HttpServer } from '../lib/peers.ts';
import { runSteps, say } from '../lib/progress.ts';
import {
  type LoadJob,
  type Measurement,
  type MeasureJob,
  type Reply,
  SATURATED_SHARE,
} from './measurement.ts';
import type { Peer } from './peers.ts';
import { dataSetsOf, type Plan, stepsOf } from './plan.ts';
import { DIALECTS } from './requests.ts';
import { keyCountOf, keyOf, valueOf } from './workloads.ts';

/** How many keys of each data set are read back and compared before anything is measured. */
const CHECKED_KEYS = 200;

/** A thread that makes the load. A thread of its own, so that its usage can be told from that of the bench. */
export class LoadGenerator {
  private readonly pool = new Piscina({
    filename: new URL('generator.ts', import.meta.url).href,
    maxThreads: 1,
    idleTimeout: Infinity,
    atomics: 'disabled',
  });

  load(job: LoadJob): Promise<Reply> {
    return this.pool.run(job, { name: 'load' });
  }

  measure(job: MeasureJob): Promise<Reply> {
    return this.pool.run(job, { name: 'measure' });
  }

  close(): Promise<void> {
    return this.pool.destroy();
  }
}

/**
 * Starts all peers of a plan, loads them, checks their answers and measures them in turns. A peer that is not installed,
 * does not start or answers wrongly is left out, or, with `needsAll`, ends the run.
 */
export async function runPlan(
  plan: Plan,
  generator: LoadGenerator,
  needsAll = false,
): Promise<Measurement[]> {
  const { keyCount, settleSeconds } = plan;
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
    const measurements: Measurement[] = [];
    const steps = stepsOf(plan, [...servers.keys()]).map(({ workload, peer, round, seconds }) => async () => {
      const { port, pids } = servers.get(peer)!;
      const job = { port, dialect: peer.dialect, keyCount, workload, seconds, settleSeconds, pids };
      const { sample } = await generator.measure(job);
      const measurement = { peer: peer.name, workload: workload.name, round, ...sample };
      if (round > 0) measurements.push(measurement);
      return inWords(measurement);
    });
    await runSteps(steps);
    return measurements;
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
  if (kind === 'constant') return;
  for (const dataSet of dataSetsOf(plan, peer)) {
    const job = { port: server.port, dialect, keyCount: plan.keyCount, dataSet };
    const { sample } = await generator.load(job);
    const wrong = await countWrong(job);
    if (sample.errors === 0 && wrong === 0) continue;
    const errors = JSON.stringify(sample.errorKinds);
    throw new Error(`${label}: ${wrong} of ${CHECKED_KEYS} keys read back wrong; while loading: ${errors}`);
  }
}

async function countWrong({ dialect, port, dataSet, keyCount }: LoadJob): Promise<number> {
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

function inWords(measurement: Measurement): string {
  const { peer, workload, round, requestsPerSecond, cpuMicros, p99Micros, generatorShare, errors } =
    measurement;
  const when = round === 0 ? 'warm-up' : `round ${round}`;
  const figures = `${requestsPerSecond.toFixed(0)}/s, ${cpuMicros.toFixed(1)} µs each, p99 ${(p99Micros / 1e3).toFixed(2)} ms`;
  const isBusy = generatorShare > SATURATED_SHARE;
  const warnings = (isBusy ? ', generator busy' : '') + (errors > 0 ? `, ${errors} errors` : '');
  return `${workload}, ${peer}, ${when}: ${figures}${warnings}`;
}
