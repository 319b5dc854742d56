import { DATA_SETS, type DataSetName, keyCountOf, keyOf, valueOf } from './data.ts';
import type { Dialect, HttpRequest } from './dialects.ts';
import { seededRandom, shuffledIndexes, zipfSampler } from './random.ts';
import type { Workload } from './workloads.ts';

const ZIPF_EXPONENT = 0.99;
/** At most this many different requests: enough to visit 100,000 keys, few enough to keep in memory. */
const MOST_REQUESTS = 100_000;
/** Without a port, so that what was built for one server serves the next that speaks the same dialect. */
const HOST_LINE = 'Host: 127.0.0.1';
/** Bodies of large values are bounded by their bytes instead. */
const MOST_BODY_BYTES = 64 * 1024 * 1024;

/** What is sent in a workload, ready for the socket, in an order that is the same for every server. */
export function workloadRequests(workload: Workload, dialect: Dialect, keyCount: number): Buffer[] {
  const count = keyCountOf(workload.dataSet, keyCount);
  const random = seededRandom(42);
  const order = shuffledIndexes(count, random);
  const sample = workload.order === 'zipf' ? zipfSampler(count, ZIPF_EXPONENT, random) : undefined;
  const length = Math.min(MOST_REQUESTS, MOST_BODY_BYTES / (1 + workload.putShare * valueBytes(workload)));
  const gets = new Map<number, Buffer>();
  return Array.from({ length }, (_, position) => {
    // A hot key's rank must not be its place in the store: ranks go through the same shuffled order.
    const index = order[sample === undefined ? position % count : sample()];
    const key = keyOf(workload.dataSet, index);
    if (random() < workload.putShare) {
      return encode(dialect.put(key, valueOf(workload.dataSet, index)), false);
    }
    let get = gets.get(index);
    if (get === undefined) {
      get = encode(dialect.get(key), workload.acceptGzip);
      gets.set(index, get);
    }
    return get;
  });
}

/** What stores one entry of a data set. */
export function putRequest(set: DataSetName, index: number, dialect: Dialect): Buffer {
  return encode(dialect.put(keyOf(set, index), valueOf(set, index)), false);
}

/** The statuses a right answer of this workload may have. */
export function expectedStatuses(workload: Workload, { statuses }: Dialect): number[] {
  const read = workload.dataSet === 'absent' ? statuses.miss : statuses.hit;
  if (workload.putShare === 0) return [read];
  return workload.putShare === 1 ? [statuses.stored] : [read, statuses.stored];
}

/**
 * The lengths the body of a right answer may have. At least the value's tells a hit from a miss where the status
 * does not (unknown where some answers acknowledge a PUT); less than the value's tells that it was compressed.
 */
export function bodyBounds(workload: Workload): { readonly least: number; readonly most: number } {
  if (workload.acceptGzip) return { least: 1, most: valueBytes(workload) - 1 };
  return { least: workload.putShare > 0 ? 0 : valueBytes(workload), most: Number.POSITIVE_INFINITY };
}

function valueBytes(workload: Workload): number {
  return DATA_SETS[workload.dataSet].valueBytes;
}

function encode({ method, path, headers, body }: HttpRequest, acceptGzip: boolean): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, HOST_LINE, 'Connection: keep-alive'];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (acceptGzip) lines.push('Accept-Encoding: gzip');
  if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
}
