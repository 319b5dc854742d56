import { join } from 'node:path';
import { type HttpServer, startOurs, startRedis, startWebdis } from '../lib/peers.ts';
import { type ServerProcess, freePort, temporaryDirectory } from '../lib/process.ts';
import { statsOf } from '../lib/stats.ts';

/** So few copies that the walk of a workload over its keys never meets one. For each shard, so that none is taken away. */
const COPIES_PER_SHARD = 1000;

/** A server that has copies of all that was put through it, with an engine of its own. */
export async function startNear(shards: number): Promise<HttpServer> {
  const port = await freePort();
  const redis = await startRedisAt(port);
  const server = await startOurs(shards, { TIER_URL: urlOf(port) });
  return { ...server, stop: () => server.stop().then(() => redis.stop()) };
}

/** One Redis behind our server, which has next to no copies, and behind webdis. Its processor time counts for both. */
export class SharedEngine {
  /** The share of our server's reads that found a copy. Known when it has been stopped. */
  nearShare = Number.NaN;

  private readonly shards: number;
  private redis: ServerProcess | undefined;
  private port = 0;

  constructor(shards: number) {
    this.shards = shards;
  }

  async startTier(): Promise<HttpServer> {
    const redis = await this.start();
    const settings = { TIER_URL: urlOf(this.port), CAPACITY: `${this.shards * COPIES_PER_SHARD}` };
    const server = await startOurs(this.shards, settings);
    const stop = async (): Promise<void> => {
      this.nearShare = await nearShareOf(server.port);
      await server.stop();
    };
    return { ...server, pids: [...server.pids, redis.pid], stop };
  }

  async startWebdis(): Promise<HttpServer> {
    const redis = await this.start();
    const server = await startWebdis(this.port);
    return { ...server, pids: [...server.pids, redis.pid] };
  }

  async stop(): Promise<void> {
    await this.redis?.stop();
  }

  private async start(): Promise<ServerProcess> {
    if (!this.redis) {
      this.port = await freePort();
      this.redis = await startRedisAt(this.port);
    }
    return this.redis;
  }
}

function startRedisAt(port: number): Promise<ServerProcess> {
  return startRedis(join(temporaryDirectory('near'), 'redis'), port);
}

function urlOf(port: number): string {
  return `redis://127.0.0.1:${port}`;
}

async function nearShareOf(port: number): Promise<number> {
  const { tier } = await statsOf<{ tier: Record<'nearHits' | 'hits' | 'misses', number> }>(port);
  return tier.nearHits / (tier.nearHits + tier.hits + tier.misses);
}
