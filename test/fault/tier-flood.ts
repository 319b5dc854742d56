import { randomBytes } from 'node:crypto';
import { HttpPipe, type PipeReply } from '../support/http-pipe.ts';
import { RedisServer } from '../support/redis.ts';
import type { MemoryGroup } from './memory-group.ts';
import { ServerInGroup } from './server-in-group.ts';

export interface TierFlood {
  /** Values in the engine: more than the container has memory for. */
  readonly keys: number;
  /** How often each is written, and then read. */
  readonly times: number;
  readonly valueBytes: (i: number) => number;
  readonly settings: Readonly<Record<string, string>>;
}

export interface TierFloodReport {
  readonly statuses: Readonly<Record<string, number>>;
  /** Reads whose value was not the last one that was put. */
  readonly wrong: number;
  /** Reads that the engine has answered, through the server in the container. */
  readonly engineHits: number;
  readonly peakUnreclaimableBytes: number;
  readonly peakResidentBytes: number;
  readonly oomKills: number;
  readonly exit: number | string;
}

const CONNECTIONS = 8;
const FILLER = randomBytes(2 ** 20).toString('hex');

/** Runs the real server in the group as the near cache of a Redis outside, and writes and reads through it. */
export async function floodTier(group: MemoryGroup, flood: TierFlood): Promise<TierFloodReport> {
  await using redis = await RedisServer.start();
  const server = await ServerInGroup.start(group, { ...flood.settings, TIER_URL: redis.url });
  const counts = { statuses: {} as Record<string, number>, wrong: 0, engineHits: 0 };
  let exit: number | string = 'still running';
  try {
    const pipes = await Promise.all(Array.from({ length: CONNECTIONS }, () => HttpPipe.open(server.port)));
    await writeAndRead(pipes, flood, counts);
    counts.engineHits = await engineHits(pipes[0]);
    for (const pipe of pipes) pipe.close();
  } catch (error) {
    // A killed server is what the report is there to tell.
    if (group.counters().oomKills === 0) throw error;
  } finally {
    exit = await server.stop();
  }
  const { peakUnreclaimableBytes, peakResidentBytes } = server;
  return { ...counts, peakUnreclaimableBytes, peakResidentBytes, oomKills: group.counters().oomKills, exit };
}

async function writeAndRead(
  pipes: readonly HttpPipe[],
  { keys, times, valueBytes }: TierFlood,
  counts: { readonly statuses: Record<string, number>; wrong: number },
): Promise<void> {
  const valueOf = (key: number): string => {
    const start = key % 1000;
    return FILLER.slice(start, start + valueBytes(key));
  };
  const count = (what: string): void => {
    counts.statuses[what] = (counts.statuses[what] ?? 0) + 1;
  };
  await inTurns(pipes, keys * times, async (pipe, i) => {
    count(`PUT ${outcomeOf(await pipe.put(`key-${i % keys}`, valueOf(i % keys)))}`);
  });
  // The oldest first: by the time that one is read, its copy has gone.
  await inTurns(pipes, keys * times, async (pipe, i) => {
    const reply = await pipe.get(`/cache/key-${i % keys}`);
    count(`GET ${outcomeOf(reply)}`);
    if (reply.status === 200 && JSON.parse(reply.body).value !== valueOf(i % keys)) counts.wrong++;
  });
}

/** The status, and the code of an error. */
function outcomeOf({ status, body }: PipeReply): string {
  return status < 300 ? String(status) : `${status} ${/CACHE_ERR_\w+/.exec(body)?.[0]}`;
}

/** Each connection has one request under way. */
async function inTurns(
  pipes: readonly HttpPipe[],
  requests: number,
  request: (pipe: HttpPipe, i: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (pipe: HttpPipe): Promise<void> => {
    while (next < requests) await request(pipe, next++);
  };
  await Promise.all(pipes.map(lane));
}

async function engineHits(pipe: HttpPipe): Promise<number> {
  const { tier } = JSON.parse((await pipe.get('/stats')).body) as { tier: { hits: number } };
  return tier.hits;
}
