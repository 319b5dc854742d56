/**
 * What the product promises about speed and memory. `docs/performance.md` lists the same table, and every report judges
 * its run by it.
 */
export interface Target {
  readonly name: string;
  readonly is: '≤' | '≥';
  readonly limit: number;
  /** What we would like to reach, where that is more than we promise. */
  readonly goal?: number;
}

export const TARGETS = {
  getProcessor: { name: 'GET: processor time per request ÷ bare Fastify', is: '≤', limit: 1.15, goal: 1 },
  getMainThread: { name: 'GET: main thread per request ÷ bare Fastify', is: '≤', limit: 1.05 },
  getRate: { name: 'GET: requests/s ÷ fastest alternative', is: '≥', limit: 1.1, goal: 1.5 },
  usersRate: { name: '100 users: requests/s', is: '≥', limit: 1429 },
  usersFailed: { name: '100 users: failed requests', is: '≤', limit: 0 },
  putRate: { name: 'PUT requests/s ÷ GET requests/s', is: '≥', limit: 0.75 },
  pipelinedRate: { name: 'pipelined GET: requests/s ÷ bare Fastify', is: '≥', limit: 0.9 },
  oneConnection1: { name: '1 connection: median latency ÷ bare Fastify, SHARDS=1', is: '≤', limit: 1.5 },
  oneConnection4: { name: '1 connection: median latency ÷ bare Fastify, SHARDS=4', is: '≤', limit: 1.5 },
  gzipRate: { name: 'gzip: requests/s ÷ Fastify compressing each time', is: '≥', limit: 5 },
  rawProcessor: { name: 'raw GET: processor time per request ÷ JSON GET', is: '≤', limit: 1 },
  rawRate10k: { name: 'raw GET, 10 KB: requests/s ÷ nginx + memcached', is: '≥', limit: 1 },
  rawRate100k: { name: 'raw GET, 100 KB: requests/s ÷ nginx + memcached', is: '≥', limit: 1 },
  shedLatency: { name: 'GET p99 during a shed order of 10 % of 1 GiB ÷ just before', is: '≤', limit: 1.5 },
  largePutLatency: { name: 'p99.9 beside PUTs of 1 MiB among 10,000,000 entries, ms', is: '≤', limit: 5 },
  longestOperation: { name: 'longest single store operation, ms', is: '≤', limit: 5 },
  recurringOperation: { name: 'longest store operation that recurs in every round, ms', is: '≤', limit: 5 },
  collectorPause: { name: "longest collector pause on the shard's thread, ms", is: '≤', limit: 10 },
  recurringPause: { name: 'the same, of each phase in its best round, ms', is: '≤', limit: 10 },
  entryOverhead: { name: 'resident bytes per entry beyond key and value', is: '≤', limit: 48, goal: 32 },
  liveShare: { name: 'live ÷ reserved after the content was replaced ten times', is: '≥', limit: 0.85 },
  shedDrop: { name: 'shed order of 10 %: resident memory lower within 1 s, % of held', is: '≥', limit: 9 },
  shedSlice: { name: 'longest slice of a shed order, ms', is: '≤', limit: 3 },
  clientRate64: { name: 'client, 64 GETs at once: GETs/s ÷ ioredis and Redis', is: '≥', limit: 1.5 },
  clientRate1000: { name: 'client, 1,000 GETs at once: GETs/s ÷ ioredis and Redis', is: '≥', limit: 2.5 },
  clientProcessor: { name: 'client: its processor time per GET ÷ ioredis', is: '≤', limit: 0.4 },
  batchProcessor: { name: "server: processor µs per GET in the client's batches", is: '≤', limit: 3 },
  clientLatency: { name: 'client, one GET at a time: median latency ÷ undici.request', is: '≤', limit: 1.2 },
  wrongAnswers: { name: 'wrong answers of our store', is: '≤', limit: 0 },
} as const satisfies Record<string, Target>;

export interface Verdict {
  readonly target: Target;
  /** NaN if this run did not measure it. */
  readonly value: number;
  /** What exactly was measured. */
  readonly note: string;
}

export function judge(name: keyof typeof TARGETS, value = Number.NaN, note = ''): Verdict {
  return { target: TARGETS[name], value, note };
}

export function isMet({ target: { is, limit }, value }: Verdict): boolean {
  return is === '≤' ? value <= limit : value >= limit;
}

export function wanted({ is, limit, goal }: Target): string {
  return `${is} ${limit}${goal === undefined ? '' : ` (goal ${goal})`}`;
}
