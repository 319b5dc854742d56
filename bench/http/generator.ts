/** The tasks of the thread that makes the load. `run.ts` starts it, and measures it apart from the rest of the bench. */
import { setTimeout as delay } from 'node:timers/promises';
import autocannon from 'autocannon';
import type { LoadJob, MeasureJob, Reply } from './measurement.ts';
import { Recorder } from './recorder.ts';
import { type DialectName, DIALECTS, expectedOf, putRequest, workloadRequests } from './requests.ts';
import { keyCountOf } from './workloads.ts';

const LOAD_CONNECTIONS = 64;
/** How often autocannon looks whether it is to stop. */
const SAMPLE_MS = 50;
/** Longer than any measurement: they are ended by `stop`. */
const ENDLESS_SECONDS = 3_600;

/**
 * Starts autocannon over ready-made requests, which all connections take from one source. Its own `requests` option
 * copies the whole list for every connection and starts each at the first, and its way to build requests while it runs
 * makes it slower than the servers.
 */
function fire(
  port: number,
  nextRequest: () => Buffer,
  options: Partial<autocannon.Options>,
  recorder: Recorder,
): { instance: autocannon.Instance; ended: Promise<void> } {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const allOptions: autocannon.Options = {
    url: `http://127.0.0.1:${port}`,
    duration: ENDLESS_SECONDS,
    sampleInt: SAMPLE_MS,
    ...options,
    verifyBody: (body) => {
      recorder.onBody(Number(body));
      // The recorder counts what is wrong; autocannon need not.
      return true;
    },
    setupClient: (client) => {
      // On the prototype of autocannon's client, but not in its types.
      if (!('getRequestBuffer' in client && 'pipelinedRequests' in client)) {
        throw new Error('autocannon has changed');
      }
      Object.assign(client, { getRequestBuffer: nextRequest });
      Object.assign(client.pipelinedRequests as object, { addBody: countBytes });
    },
  };
  const instance = autocannon(allOptions, (error: unknown) =>
    error === null ? resolve() : reject(error instanceof Error ? error : new Error('failed')),
  );
  instance.on('response', (_client, status, _bytes, latencyMs) => recorder.onAnswer(status, latencyMs));
  instance.on('reqError', (error) => recorder.onFailure(error));
  return { instance, ended };
}

/**
 * Replaces autocannon's own, which decodes every body as UTF-8 and keeps the text; for compressed bodies that takes
 * longer than all else that it does. This one keeps the length.
 */
function countBytes(this: { peek: () => { body: string } | undefined }, data: Buffer): void {
  const request = this.peek();
  if (request) request.body = String(Number(request.body) + data.length);
}

/** Fills a server. */
export async function load({ port, dialect, dataSet, keyCount }: LoadJob): Promise<Reply> {
  const count = keyCountOf(dataSet, keyCount);
  const statuses = [DIALECTS[dialect].statuses.stored];
  const recorder = new Recorder({ statuses, minBytes: 0, maxBytes: Number.POSITIVE_INFINITY }, []);
  recorder.start();
  const options = { connections: Math.min(LOAD_CONNECTIONS, count), maxOverallRequests: count };
  let index = 0;
  await fire(port, () => putRequest(dataSet, index++, dialect), options, recorder).ended;
  return recorder.stop();
}

/** Puts a server under load and measures it. */
export async function measure(job: MeasureJob): Promise<Reply> {
  const { connections, pipelining } = job.workload;
  const recorder = new Recorder(expectedOf(job.workload, job.dialect), job.pids, job.withTimeline);
  const requests = requestsFor(job);
  let next = -1;
  const nextRequest = (): Buffer => {
    next = next + 1 === requests.length ? 0 : next + 1;
    return requests[next];
  };
  const { instance, ended } = fire(job.port, nextRequest, { connections, pipelining }, recorder);
  await delay(job.settleSeconds * 1_000);
  recorder.start();
  await delay(job.seconds * 1_000);
  const reply = recorder.stop();
  instance.stop();
  await ended;
  return reply;
}

/** Built once for all servers of a dialect, and kept only while their workload lasts. */
function requestsFor({ dialect, keyCount, workload }: MeasureJob): Buffer[] {
  if (built.workload !== workload.name) built = { workload: workload.name, byDialect: new Map() };
  const requests = built.byDialect.get(dialect) ?? workloadRequests(workload, dialect, keyCount);
  built.byDialect.set(dialect, requests);
  return requests;
}

let built = { workload: '', byDialect: new Map<DialectName, Buffer[]>() };
