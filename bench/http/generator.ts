/** The process that makes the load. Of its own, so that what it uses is neither the server's nor the bench's. */
import autocannon from 'autocannon';
import { keyCountOf } from './data.ts';
import { type DialectName, DIALECTS } from './dialects.ts';
import type { Job, LoadJob, MeasureJob, Reply, Sample } from './measurement.ts';
import { Recorder } from './recorder.ts';
import { expectedStatuses, bodyBounds, putRequest, workloadRequests } from './requests.ts';
import { type Workload, workloadNamed } from './workloads.ts';

const HOST = '127.0.0.1';
const LOAD_CONNECTIONS = 64;
/** How often autocannon looks whether it is to stop. */
const SAMPLE_MS = 50;
/** Far beyond any measurement: they are ended by `stop`. */
const ENDLESS_SECONDS = 3_600;

interface Run {
  readonly instance: autocannon.Instance;
  readonly ended: Promise<void>;
}

/**
 * Starts autocannon over ready-made requests, which all connections take from one source: its own `requests`
 * option copies the whole list for every connection and starts each at the first, and its way to build requests
 * while it runs makes it slower than the servers.
 */
function fire(
  port: number,
  nextRequest: () => Buffer,
  options: Partial<autocannon.Options>,
  recorder: Recorder,
): Run {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const instance = autocannon(
    {
      url: `http://${HOST}:${port}`,
      duration: ENDLESS_SECONDS,
      sampleInt: SAMPLE_MS,
      ...options,
      verifyBody: (body) => recorder.onBody(Number(body)),
      setupClient: (client) => {
        // On the prototype of autocannon's client, but not in its types.
        if (!('getRequestBuffer' in client && 'pipelinedRequests' in client)) {
          throw new Error('autocannon has changed');
        }
        Object.assign(client, { getRequestBuffer: nextRequest });
        Object.assign(client.pipelinedRequests as object, { addBody: countBytes });
      },
    },
    (error: unknown) =>
      error === null ? resolve() : reject(error instanceof Error ? error : new Error('failed')),
  );
  instance.on('response', (_client, status, _bytes, latencyMs) => recorder.onAnswer(status, latencyMs));
  instance.on('reqError', recorder.onFailure);
  return { instance, ended };
}

/**
 * In place of autocannon's: it would decode every body as UTF-8 and keep the text, which for compressed ones takes
 * longer than all else that it does. What is kept is the length.
 */
function countBytes(this: { peek: () => { body: string } | undefined }, data: Buffer): void {
  const request = this.peek();
  if (request) request.body = String(Number(request.body) + data.length);
}

async function load(job: LoadJob): Promise<Sample> {
  const dialect = DIALECTS[job.dialect];
  const count = keyCountOf(job.dataSet, job.keyCount);
  const recorder = new Recorder(
    [dialect.statuses.stored],
    { least: 0, most: Number.POSITIVE_INFINITY },
    false,
  );
  recorder.start([]);
  const options = { connections: Math.min(LOAD_CONNECTIONS, count), maxOverallRequests: count };
  let index = 0;
  const nextRequest = (): Buffer => putRequest(job.dataSet, index++, dialect);
  const { ended } = fire(job.port, nextRequest, options, recorder);
  await ended;
  return recorder.stop([]);
}

async function measure(job: MeasureJob): Promise<Sample> {
  const dialect = DIALECTS[job.dialect];
  const workload = workloadNamed(job.workload);
  const recorder = new Recorder(expectedStatuses(workload, dialect), bodyBounds(workload), job.withTimeline);
  const { connections, pipelining } = workload;
  const { instance, ended } = fire(
    job.port,
    inTurn(requestsFor(job, workload)),
    { connections, pipelining },
    recorder,
  );
  await sleep(job.settleSeconds);
  recorder.start(job.pids);
  await sleep(job.seconds);
  const sample = recorder.stop(job.pids);
  instance.stop();
  await ended;
  return sample;
}

/** Built once for all servers of a dialect, and kept only while their workload lasts. */
function requestsFor({ dialect, keyCount }: MeasureJob, workload: Workload): Buffer[] {
  if (built.workload !== workload.name) built = { workload: workload.name, byDialect: new Map() };
  let requests = built.byDialect.get(dialect);
  if (requests === undefined) {
    requests = workloadRequests(workload, DIALECTS[dialect], keyCount);
    built.byDialect.set(dialect, requests);
  }
  return requests;
}

let built = { workload: '', byDialect: new Map<DialectName, Buffer[]>() };

function inTurn(requests: readonly Buffer[]): () => Buffer {
  let next = 0;
  return () => {
    const request = requests[next];
    next = next + 1 === requests.length ? 0 : next + 1;
    return request;
  };
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1_000);
  });
}

async function answer(job: Job): Promise<Reply> {
  try {
    return { kind: 'sample', sample: await (job.kind === 'load' ? load(job) : measure(job)) };
  } catch (error) {
    return { kind: 'failed', message: String(error) };
  }
}

process.on('message', (job: Job) => {
  void answer(job).then((reply) => process.send?.(reply));
});
// The bench is gone, whatever became of it: so is its load.
process.on('disconnect', () => process.exit());
// Ctrl-C reaches the whole group; the bench is to decide what ends when.
process.on('SIGINT', () => {});
