import { randomUnit, scatteredIndex } from '../lib/data.ts';
import { DATA_SETS, type DataSetName, keyCountOf, keyOf, valueOf, type Workload } from './workloads.ts';

/** How one kind of server wants to be asked, and how it answers. */
interface Dialect {
  readonly getPath: (key: string) => string;
  readonly put: (key: string, value: string) => { path: string; type?: string; body: string };
  /** The value in the body of a GET's answer. */
  readonly readValue: (body: string) => unknown;
  readonly statuses: { readonly hit: number; readonly stored: number; readonly miss: number };
}

export const DIALECTS = {
  /** The API of key-value-cache, which the servers written for comparison share. */
  cache: {
    getPath: (key) => `/cache/${key}`,
    put: (key, value) => ({ path: '/cache', type: 'application/json', body: JSON.stringify({ key, value }) }),
    readValue: (body) => (JSON.parse(body) as { value?: unknown }).value,
    statuses: { hit: 200, stored: 201, miss: 404 },
  },
  /** Raw entries: any bytes, no JSON around them. */
  raw: {
    getPath: (key) => `/kv/${key}`,
    put: (key, value) => ({ path: `/kv/${key}`, body: value }),
    readValue: (body) => body,
    statuses: { hit: 200, stored: 201, miss: 404 },
  },
  /** Redis commands as paths. A miss is 200 with null, so only the length of the answer shows a hit. */
  webdis: {
    getPath: (key) => `/GET/${key}`,
    put: (key, value) => ({ path: `/SET/${key}`, body: value }),
    readValue: (body) => (JSON.parse(body) as { GET?: unknown }).GET,
    statuses: { hit: 200, stored: 200, miss: 200 },
  },
  /** nginx's memc module: plain values, no JSON around them. */
  memcached: {
    getPath: (key) => `/cache/${key}`,
    put: (key, value) => ({ path: `/cache/${key}`, body: value }),
    readValue: (body) => body,
    statuses: { hit: 200, stored: 201, miss: 404 },
  },
} satisfies Record<string, Dialect>;

export type DialectName = keyof typeof DIALECTS;

/** At most this many different requests: enough to visit 100,000 keys, few enough to keep in memory. */
const MAX_REQUESTS = 100_000;
/** Bodies of large values are bounded by their bytes instead. */
const MAX_BODY_BYTES = 64 * 2 ** 20;

/** The requests of a workload, ready for the socket, in an order that is the same for every server. */
export function workloadRequests(workload: Workload, dialect: DialectName, keyCount: number): Buffer[] {
  const { dataSet, putShare, acceptGzip } = workload;
  const count = keyCountOf(dataSet, keyCount);
  const length = Math.min(MAX_REQUESTS, MAX_BODY_BYTES / (1 + putShare * DATA_SETS[dataSet].valueBytes));
  const gets = Array.from({ length: Math.min(count, length) }, (_, position) =>
    getRequest(dataSet, scatteredIndex(position, count), dialect, acceptGzip),
  );
  return Array.from({ length }, (_, position) =>
    randomUnit(position, 1) < putShare
      ? putRequest(dataSet, scatteredIndex(position, count), dialect)
      : gets[position % count],
  );
}

function getRequest(set: DataSetName, index: number, dialect: DialectName, acceptGzip: boolean): Buffer {
  const path = DIALECTS[dialect].getPath(keyOf(set, index));
  return encode('GET', path, acceptGzip ? ['Accept-Encoding: gzip'] : []);
}

export function putRequest(set: DataSetName, index: number, dialect: DialectName): Buffer {
  const { put }: Dialect = DIALECTS[dialect];
  const { path, type, body } = put(keyOf(set, index), valueOf(set, index));
  const headers = type === undefined ? [] : [`Content-Type: ${type}`];
  return encode('PUT', path, [...headers, `Content-Length: ${Buffer.byteLength(body)}`], body);
}

/** The host has no port, so that requests built for one server serve the next that speaks the same dialect. */
function encode(method: string, path: string, headers: readonly string[], body = ''): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: keep-alive', ...headers];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** What a right answer of a workload may look like. */
export interface Expected {
  readonly statuses: readonly number[];
  readonly minBytes: number;
  readonly maxBytes: number;
}

/**
 * At least the value's length tells a hit from a miss where the status does not (not where some answers acknowledge a
 * PUT); less than it tells that the body was compressed.
 */
export function expectedOf({ dataSet, putShare, acceptGzip }: Workload, dialect: DialectName): Expected {
  const { hit, stored, miss } = DIALECTS[dialect].statuses;
  const { valueBytes } = DATA_SETS[dataSet];
  const read = dataSet === 'absent' ? miss : hit;
  const statuses = [...(putShare < 1 ? [read] : []), ...(putShare > 0 ? [stored] : [])];
  if (acceptGzip) return { statuses, minBytes: 1, maxBytes: valueBytes - 1 };
  return { statuses, minBytes: putShare > 0 ? 0 : valueBytes, maxBytes: Number.POSITIVE_INFINITY };
}
