import { HttpPipe } from '../support/http-pipe.ts';
import { IS_LONG } from '../support/long.ts';
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

/** What became of the newest entries while they were read, with the supervisor still at work. */
export interface NewestReport {
  readonly looked: number;
  readonly found: number;
  /** Found with another value than was put. */
  readonly wrong: number;
  /** Keys that are gone while their shard keeps entries that were put before them. */
  readonly early: readonly string[];
  /** Shed orders meanwhile, and the entries they took. */
  readonly orders: number;
  readonly shed: number;
  /** Entries that went meanwhile for another reason, and all that went. */
  readonly displaced: number;
  readonly gone: number;
  /** Bytes of the entries that are left. */
  readonly keptBytes: number;
}

export interface FloodReport {
  readonly statuses: Readonly<Record<number, number>>;
  /** Absent where entries expire. */
  readonly newest: NewestReport | undefined;
  /** What the cache can hold at the memory threshold. */
  readonly roomBytes: number;
  readonly peakUnreclaimableBytes: number;
  readonly peakResidentBytes: number;
  readonly reclaims: number;
  readonly oomKills: number;
  readonly exit: number | string;
}

const CONNECTIONS = 8;
/** Of the newest entries so many are looked for, where so many fit. */
const NEWEST = IS_LONG ? 500 : 80;
const FILLER = 'the quick brown fox jumps over the lazy dog; 0123456789 '.repeat(20_000);

/** Runs the real server in a group of its own, and PUTs to it as fast as eight connections take it. */
export async function floodServer(group: MemoryGroup, flood: Flood): Promise<FloodReport> {
  const server = await ServerInGroup.start(group, flood.settings ?? {});
  let exit: number | string = 'still running';
  let statuses: Record<number, number> = {};
  let newest: NewestReport | undefined;
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
    newest,
    roomBytes: server.roomBytes,
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
  return (await readStats(pipe)).shards.map(({ misses }) => misses);
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

/** What `/stats` says of memory and entries. */
interface Stats {
  readonly memory: { readonly orders: number };
  readonly totals: Readonly<Record<'entries' | 'liveBytes' | 'evicted' | 'expired' | 'shedEntries', number>>;
  readonly shards: readonly Readonly<Record<'entries' | 'hits' | 'misses', number>>[];
}

async function readStats(pipe: HttpPipe): Promise<Stats> {
  return JSON.parse((await pipe.get('/stats')).body) as Stats;
}

/** From the newest back: what has not been read yet goes in the order in which it was put. */
async function findNewest(pipe: HttpPipe, flood: Flood, keyOf: (i: number) => string): Promise<NewestReport> {
  const before = await readStats(pipe);
  const looked = Math.min(NEWEST, before.totals.entries);
  /** By shard, newest first. */
  const reads: { readonly key: string; readonly isFound: boolean }[][] = before.shards.map(() => []);
  let wrong = 0;
  let { shards } = before;
  for (let n = 1; n <= looked; n++) {
    const i = flood.requests - n;
    const key = keyOf(i);
    const reply = await pipe.get(`/cache/${key}`);
    const seen = (await readStats(pipe)).shards;
    const owner = seen.findIndex((row, shard) => lookups(row) > lookups(shards[shard]));
    reads[owner].push({ key, isFound: reply.status === 200 });
    if (reply.status === 200 && JSON.parse(reply.body).value !== valueOf(flood, i)) wrong++;
    shards = seen;
  }
  const after = await readStats(pipe);
  // Puts that are under way together may arrive in any order: so many may have overtaken a newer one.
  const overtaking = CONNECTIONS * (flood.depth ?? 1) - 1;
  const early = reads.flatMap((list, shard) =>
    list.slice(0, Math.max(0, after.shards[shard].entries - overtaking)).filter(({ isFound }) => !isFound),
  );
  return {
    looked,
    found: reads.flat().filter(({ isFound }) => isFound).length,
    wrong,
    early: early.map(({ key }) => key),
    orders: after.memory.orders - before.memory.orders,
    shed: after.totals.shedEntries - before.totals.shedEntries,
    displaced: after.totals.evicted + after.totals.expired - before.totals.evicted - before.totals.expired,
    gone: before.totals.entries - after.totals.entries,
    keptBytes: after.totals.liveBytes,
  };
}

function lookups({ hits, misses }: Stats['shards'][number]): number {
  return hits + misses;
}
