/** What `bench:client` measures: which client does what, how many calls at once, on values of which size. */
export const CLIENTS = ['CacheClient', 'undici.request', 'fetch', 'ioredis', 'node-redis'] as const;
export type ClientName = (typeof CLIENTS)[number];

export const OPERATIONS = ['GET', 'SET', '90 % GET'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** One cell of the tables, without its client. */
export interface Cell {
  readonly operation: Operation;
  /** Calls that are made at once; each follows the answer to the one before. */
  readonly concurrency: number;
  readonly valueBytes: number;
}

/** What the process of one client is told. */
export interface LoadJob extends Cell {
  readonly milliseconds: number;
  /** Whether entries are read once more afterwards, which would weigh on a measurement. */
  readonly isChecked: boolean;
}

/** What it answers. */
export interface LoadResult {
  readonly calls: number;
  readonly seconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** Processor time of the client's whole process, in µs. */
  readonly cpuMicros: number;
  /** The first wrong answer. */
  readonly faults: readonly string[];
}

/** How many keys there are, by the size of their values: 64 MiB of them at most. */
export function keyCount(valueBytes: number): number {
  return Math.min(10_000, Math.floor(2 ** 26 / valueBytes));
}

export const CONCURRENCIES = [1, 64, 1000] as const;
export const VALUE_BYTES = [100, 1024, 10_240] as const;
