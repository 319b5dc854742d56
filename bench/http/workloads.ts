import type { DataSetName } from './data.ts';

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly dataSet: DataSetName;
  /** Share of the requests that are PUTs; the others are GETs. */
  readonly putShare: number;
  readonly order: 'shuffled' | 'zipf';
  readonly connections: number;
  readonly pipelining: number;
  readonly acceptGzip: boolean;
  /** Names of the peers it is run against. */
  readonly peers: readonly string[];
  readonly isInQuickRun: boolean;
  /** The name of a workload that each server has right before or after it, since one is judged by the other. */
  readonly judgedBy?: string;
}

const PEERS = {
  ceilings: ['node-http', 'fastify'],
  ours: ['kvc'],
  shards: ['kvc-1', 'kvc-2', 'kvc-4'],
  caches: ['fastify-lru', 'webdis', 'nginx-memcached', 'fastapi'],
} as const;

const DEFAULTS = {
  dataSet: 'small',
  putShare: 0,
  order: 'shuffled',
  connections: 64,
  pipelining: 1,
  acceptGzip: false,
  peers: [...PEERS.ours, ...PEERS.caches],
  isInQuickRun: false,
} satisfies Omit<Workload, 'name' | 'title'>;

const EVERYONE = [...PEERS.ceilings, ...PEERS.ours, ...PEERS.shards, ...PEERS.caches];

/** In the order they are run and shown. Servers with constant answers have no misses, so not every workload. */
export const WORKLOADS: readonly Workload[] = [
  {
    ...DEFAULTS,
    name: 'get-hits',
    title: 'GET, hits, 100 bytes, 64 connections',
    peers: EVERYONE,
    isInQuickRun: true,
  },
  {
    ...DEFAULTS,
    name: 'put',
    title: 'PUT, 100 bytes, 64 connections',
    judgedBy: 'get-hits',
    putShare: 1,
    peers: EVERYONE,
    isInQuickRun: true,
  },
  { ...DEFAULTS, name: 'get-misses', title: 'GET, misses, 64 connections', dataSet: 'absent' },
  { ...DEFAULTS, name: 'mixed', title: '90 % GET, 10 % PUT, 64 connections', putShare: 0.1 },
  {
    ...DEFAULTS,
    name: 'users-100',
    title: '90 % GET, 10 % PUT, 100 connections, as the locustfile',
    putShare: 0.1,
    connections: 100,
    peers: ['kvc', 'fastapi'],
    isInQuickRun: true,
  },
  { ...DEFAULTS, name: 'zipf', title: 'GET, Zipf-distributed keys (0.99), 64 connections', order: 'zipf' },
  {
    ...DEFAULTS,
    name: 'pipelined',
    title: 'GET, 10 pipelined, 64 connections',
    pipelining: 10,
    peers: EVERYONE.filter((peer) => peer !== 'fastapi'),
    isInQuickRun: true,
  },
  {
    ...DEFAULTS,
    name: 'connections-1',
    title: 'GET, 1 connection',
    connections: 1,
    peers: EVERYONE,
    isInQuickRun: true,
  },
  { ...DEFAULTS, name: 'connections-2', title: 'GET, 2 connections', connections: 2, peers: EVERYONE },
  {
    ...DEFAULTS,
    name: 'connections-512',
    title: 'GET, 512 connections',
    connections: 512,
    peers: ['fastify', ...DEFAULTS.peers],
  },
  {
    ...DEFAULTS,
    name: 'gzip',
    title: 'GET, 10 KB of JSON text, gzip, 64 connections',
    dataSet: 'text',
    acceptGzip: true,
    peers: ['kvc', 'fastify-lru-compress', 'nginx-memcached', 'fastapi'],
    isInQuickRun: true,
  },
  {
    ...DEFAULTS,
    name: 'get-10k',
    title: 'GET, 10 KB, 64 connections',
    dataSet: 'medium',
    peers: ['fastify', ...DEFAULTS.peers],
  },
  {
    ...DEFAULTS,
    name: 'get-100k',
    title: 'GET, 100 KB, 64 connections',
    dataSet: 'large',
    peers: ['fastify', ...DEFAULTS.peers],
  },
  {
    ...DEFAULTS,
    name: 'put-10k',
    title: 'PUT, 10 KB, 64 connections',
    dataSet: 'medium',
    putShare: 1,
  },
];

/** What `--only` with nothing but our own server measures: enough to see a change while working on it. */
export const BASIC_WORKLOADS: readonly string[] = ['get-hits', 'get-misses', 'put', 'mixed', 'zipf'];

export function workloadNamed(name: string): Workload {
  const workload = WORKLOADS.find((candidate) => candidate.name === name);
  if (workload === undefined) throw new Error(`no workload named ${name}`);
  return workload;
}
