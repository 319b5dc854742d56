import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { CacheClient } from '../../src/client/cache-client.ts';
import { CuttingProxy } from '../support/cutting-proxy.ts';
import { IS_LONG } from '../support/long.ts';
import { Random, printedSeed } from '../support/random.ts';
import { RandomUser, type Tally } from '../support/random-user.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const CALLS = IS_LONG ? 1_000_000 : 20_000;
const USERS = 20;
const SHARDS = 3;
const TIMEOUT_MS = 2000;
/** A machine with other work may be late with timers. */
const LATE_MS = 1000;

/** A cache behind a proxy, that loses shards, connections, and at times all that it holds. */
class BadCache implements AsyncDisposable {
  readonly events = { kills: 0, restarts: 0 };
  private readonly proxy: CuttingProxy;
  private server: TestServer;
  private readonly shardOfKey = new Map<string, number>();
  private lossesOfAll = 0;
  private lossesOfShard: number[] = [];

  private constructor(server: TestServer, proxy: CuttingProxy) {
    this.server = server;
    this.proxy = proxy;
  }

  static async start(): Promise<BadCache> {
    const server = await startTestServer({ SHARDS: String(SHARDS) });
    return new BadCache(server, await CuttingProxy.listening(server.port));
  }

  get port(): number {
    return this.proxy.port;
  }

  get cuts(): number {
    return this.proxy.cuts;
  }

  readonly lastLoss = (key: string): string =>
    `${this.lossesOfAll}, ${this.lossesOfShard[this.shardOfKey.get(key)!] ?? 0}`;

  /** To be called before the first losses. */
  async learnShards(keys: Iterable<string>): Promise<void> {
    for (const key of keys) this.shardOfKey.set(key, (await this.server.router.inspect(key))!.shard);
  }

  async spoil(random: Random): Promise<void> {
    const dice = random.next();
    if (dice < 0.5) this.proxy.cut();
    else if (dice < 0.9) await this.kill(random.whole(0, SHARDS - 1));
    else await this.restart();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }

  private async kill(shard: number): Promise<void> {
    this.events.kills++;
    this.lossesOfShard[shard] = (this.lossesOfShard[shard] ?? 0) + 1;
    await this.server.router.shards[shard].kill();
  }

  /** A new server has other places for the keys. */
  private async restart(): Promise<void> {
    this.events.restarts++;
    this.lossesOfAll++;
    const keys = [...this.shardOfKey.keys()];
    await this.server[Symbol.asyncDispose]();
    this.server = await startTestServer({ SHARDS: String(SHARDS) });
    this.lossesOfShard = [];
    await this.learnShards(keys);
    this.proxy.target = this.server.port;
    // What the old server answered while it stopped is lost, too.
    this.lossesOfAll++;
  }
}

test(
  'random calls agree with a model, whatever dies: no wrong value, no write lost that was not in what died',
  { timeout: 600_000 },
  async () => {
    const random = new Random(printedSeed('random operations'));
    await using bad = await BadCache.start();
    const caches = [{}, { connections: 4 }].map(
      (options) => new CacheClient(`http://127.0.0.1:${bad.port}`, { timeoutMs: TIMEOUT_MS, ...options }),
    );
    const tally: Tally = { calls: 0, done: 0, failed: new Map(), wrong: [], longestMs: 0 };
    const users = Array.from({ length: USERS }, (_, i) => {
      const own = new Random(random.whole(0, 2 ** 31));
      return new RandomUser(caches[i % caches.length], `user${i}`, own, tally, bad.lastLoss);
    });
    for (const user of users) await bad.learnShards(user.ownKeys);
    const isOver = (): boolean =>
      (tally.calls >= CALLS && bad.cuts > 0 && bad.events.kills > 0) || tally.wrong.length > 0;
    const spoil = async (): Promise<void> => {
      while (!isOver()) {
        await wait(random.whole(50, 500));
        await bad.spoil(random);
      }
    };
    const use = async (user: RandomUser): Promise<void> => {
      while (!isOver()) if (!(await user.burst())) await wait(100);
    };
    await Promise.all([spoil(), ...users.map(use)]);
    for (const cache of caches) await cache.close();

    const { calls, done, failed, wrong, longestMs } = tally;
    const what = {
      calls,
      done,
      ...Object.fromEntries(failed),
      longestMs: Math.round(longestMs),
      cuts: bad.cuts,
    };
    console.log(`random operations: ${JSON.stringify({ ...what, ...bad.events })}`);
    expect(wrong).toStrictEqual([]);
    expect(longestMs).toBeLessThan(TIMEOUT_MS + LATE_MS);
    expect(done).toBeGreaterThan(calls / 2);
  },
);
