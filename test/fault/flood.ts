import { HttpPipe } from '../support/http-pipe.ts';
import type { MemoryGroup } from './memory-group.ts';
import { ServerInGroup } from './server-in-group.ts';

export interface Flood {
  readonly requests: number;
  readonly valueBytes: (i: number) => number;
  /** Requests under way on each connection at once; 1 if absent. */
  readonly depth?: number;
  readonly ttlSeconds?: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** The keys that are put in turn; one of its own for each request if absent. */
  readonly findKeys?: (pipe: HttpPipe) => Promise<readonly string[]>;
}

export interface FloodReport {
  readonly statuses: Readonly<Record<number, number>>;
  /** Of the newest entries that are to be there, how many were asked for and how many were as they were put. */
  readonly asked: number;
  readonly found: number;
  readonly peakUnreclaimableBytes: number;
  readonly peakResidentBytes: number;
  readonly reclaims: number;
  readonly oomKills: number;
  readonly exit: number | string;
}

const CONNECTIONS = 8;
/** Of all entries, the newest that no order which is under way can reach. */
const SAFE_SHARE = 0.75;
/** Of the newest entries so many are looked for, where so many fit. */
export const NEWEST = 500;
const FILLER = 'the quick brown fox jumps over the lazy dog; 0123456789 '.repeat(20_000);

/** Runs the real server in a group of its own, and PUTs to it as fast as eight connections take it. */
export async function floodServer(group: MemoryGroup, flood: Flood): Promise<FloodReport> {
  const server = await ServerInGroup.start(group, flood.settings ?? {});
  let exit: number | string = 'still running';
  let statuses: Record<number, number> = {};
  let newest = { asked: 0, found: 0 };
  try {
    const first = await HttpPipe.open(server.port);
    const keys = await flood.findKeys?.(first);
    // Opened when they are needed: a connection that sends no request for a while is closed.
    const others = Array.from({ length: CONNECTIONS - 1 }, () => HttpPipe.open(server.port));
    const pipes = [first, ...(await Promise.all(others))];
    const keyOf = (i: number): string => (keys ? keys[i % keys.length] : `key-${i}`);
    statuses = await putAll(pipes, flood, keyOf);
    if (flood.ttlSeconds === undefined) newest = await findNewest(pipes[0], flood, keyOf);
    for (const pipe of pipes) pipe.close();
  } catch (error) {
    // A killed server is what the report is there to tell.
    if (group.counters().oomKills === 0) throw error;
  } finally {
    exit = await server.stop();
  }
  const { failures, oomKills } = group.counters();
  const { peakUnreclaimableBytes, peakResidentBytes } = server;
  return {
    statuses,
    ...newest,
    peakUnreclaimableBytes,
    peakResidentBytes,
    reclaims: failures,
    oomKills,
    exit,
  };
}

/** Finds keys of the shard that owns the first one: which shard that is shows in its count of misses. */
export async function keysOfOneShard(pipe: HttpPipe, wanted: number): Promise<string[]> {
  const keys: string[] = [];
  let before = await missesPerShard(pipe);
  let owner: number | undefined;
  for (let i = 0; keys.length < wanted; i++) {
    await pipe.get(`/cache/candidate-${i}`);
    const after = await missesPerShard(pipe);
    const shard = after.findIndex((misses, n) => misses > before[n]);
    owner ??= shard;
    if (shard === owner) keys.push(`candidate-${i}`);
    before = after;
  }
  return keys;
}

async function missesPerShard(pipe: HttpPipe): Promise<number[]> {
  const { body } = await pipe.get('/stats');
  return (JSON.parse(body) as { shards: { misses: number }[] }).shards.map(({ misses }) => misses);
}

/** Neighbouring values differ, so that a mixed up one is seen. */
function valueOf(flood: Flood, i: number): string {
  const start = i % 50;
  return FILLER.slice(start, start + flood.valueBytes(i));
}

async function putAll(
  pipes: readonly HttpPipe[],
  flood: Flood,
  keyOf: (i: number) => string,
): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  let next = 0;
  const lane = async (pipe: HttpPipe): Promise<void> => {
    while (next < flood.requests) {
      const i = next++;
      const { status } = await pipe.put(keyOf(i), valueOf(flood, i), flood.ttlSeconds);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(pipes.flatMap((pipe) => Array.from({ length: flood.depth ?? 1 }, () => lane(pipe))));
  return statuses;
}

async function findNewest(
  pipe: HttpPipe,
  flood: Flood,
  keyOf: (i: number) => string,
): Promise<{ asked: number; found: number }> {
  const { body } = await pipe.get('/stats');
  const { entries } = (JSON.parse(body) as { totals: { entries: number } }).totals;
  // The supervisor may still be shedding from the other end.
  const asked = Math.min(NEWEST, Math.floor(entries * SAFE_SHARE));
  let found = 0;
  for (let i = flood.requests - asked; i < flood.requests; i++) {
    const reply = await pipe.get(`/cache/${keyOf(i)}`);
    if (reply.status === 200 && JSON.parse(reply.body).value === valueOf(flood, i)) found++;
  }
  return { asked, found };
}
