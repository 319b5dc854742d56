import { jsonText, keyOf as keyOfIndex, valueOf as valueOfIndex } from '../lib/data.ts';

interface DataSet {
  /** The first character of its keys, by which servers with constant answers tell the size. */
  readonly prefix: string;
  readonly valueBytes: number;
  /** A fixed number of keys; without it, as many as the run is for. */
  readonly count?: number;
}

/** What every server is loaded with; `absent` is never stored. */
export const DATA_SETS = {
  small: { prefix: 's', valueBytes: 100 },
  medium: { prefix: 'm', valueBytes: 10 * 1024, count: 1_000 },
  large: { prefix: 'l', valueBytes: 100 * 1024, count: 100 },
  text: { prefix: 't', valueBytes: 10 * 1024, count: 1_000 },
  gigabyte: { prefix: 'g', valueBytes: 1024, count: 1024 * 1024 },
  absent: { prefix: 'a', valueBytes: 0 },
} satisfies Record<string, DataSet>;

export type DataSetName = keyof typeof DATA_SETS;

export function keyCountOf(set: DataSetName, keyCount: number): number {
  const { count }: DataSet = DATA_SETS[set];
  return count ?? keyCount;
}

/** 16 characters that need no escape in a path. */
export function keyOf(set: DataSetName, index: number): string {
  return DATA_SETS[set].prefix + keyOfIndex(index).slice(1);
}

export function valueOf(set: DataSetName, index: number): string {
  const { valueBytes } = DATA_SETS[set];
  return set === 'text' ? jsonText(index, valueBytes) : valueOfIndex(index, 0, valueBytes);
}

const DEFAULTS = {
  dataSet: 'small' as DataSetName,
  /** The share of the requests that are PUTs; the others are GETs. */
  putShare: 0,
  connections: 64,
  pipelining: 1,
  acceptGzip: false,
  /** The names of the peers that it is run against. */
  peers: ['kvc', 'fastify-lru', 'webdis', 'nginx-memcached'] as readonly string[],
  isInQuickRun: false,
  /** A workload that each server has right before or after this one, since one is judged by the other. */
  judgedBy: undefined as string | undefined,
};

export type Workload = Readonly<typeof DEFAULTS & { name: string; title: string }>;

function workload(name: string, title: string, change: Partial<Workload>): Workload {
  return { ...DEFAULTS, name, title, ...change };
}

const everyone = ['fastify', 'kvc-1', 'kvc-2', 'kvc-4', ...DEFAULTS.peers];
const withFastify = ['fastify', ...DEFAULTS.peers];
const withRaw = [...withFastify, 'kvc-raw'];
const quick = { isInQuickRun: true };

/** In the order in which they are shown. Bare Fastify gives constant answers: it knows no misses and no mixtures. */
export const WORKLOADS: readonly Workload[] = [
  workload('get-hits', 'GET, hits, 100 bytes, 64 connections', {
    ...quick,
    peers: [...everyone, 'kvc-raw'],
  }),
  workload('put', 'PUT, 100 bytes, 64 connections', {
    ...quick,
    putShare: 1,
    peers: everyone,
    judgedBy: 'get-hits',
  }),
  workload('get-misses', 'GET, misses, 64 connections', { dataSet: 'absent' }),
  workload('mixed', '90 % GET, 10 % PUT, 64 connections', { putShare: 0.1 }),
  workload('users-100', '90 % GET, 10 % PUT, 100 connections, as the locustfile', {
    ...quick,
    putShare: 0.1,
    connections: 100,
    peers: ['kvc'],
  }),
  workload('pipelined', 'GET, 10 pipelined, 64 connections', { ...quick, pipelining: 10, peers: everyone }),
  workload('connections-1', 'GET, 1 connection', { ...quick, connections: 1, peers: everyone }),
  workload('connections-2', 'GET, 2 connections', { connections: 2, peers: everyone }),
  workload('connections-512', 'GET, 512 connections', { connections: 512, peers: withFastify }),
  workload('gzip', 'GET, 10 KB of JSON text, gzip, 64 connections', {
    ...quick,
    dataSet: 'text',
    acceptGzip: true,
    peers: ['kvc', 'fastify-lru', 'nginx-memcached'],
  }),
  workload('get-10k', 'GET, 10 KB, 64 connections', { dataSet: 'medium', peers: withRaw }),
  workload('get-100k', 'GET, 100 KB, 64 connections', { dataSet: 'large', peers: withRaw }),
  workload('put-10k', 'PUT, 10 KB, 64 connections', { dataSet: 'medium', putShare: 1 }),
];
