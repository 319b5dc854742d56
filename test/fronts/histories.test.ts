import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HttpClient, cachePath } from '../support/http-client.ts';
import { type Operation, isLinearizable } from '../support/linearizable.ts';
import { IS_LONG } from '../support/long.ts';
import { Random, printedSeed } from '../support/random.ts';
import { type TestServer, startTestServer } from '../support/server.ts';
import { servingFronts, spreadClients } from '../support/spread-clients.ts';

const FRONTS = 4;
const SHARDS = 2;
const ROUNDS = IS_LONG ? 600 : 15;
const KEYS = 3;
const STEPS = 10;
/** From 16 KiB on values cross threads in another way. */
const LARGE = 'x'.repeat(20_000);

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ FRONTS: String(FRONTS), SHARDS: String(SHARDS) });
});

afterAll(() => server[Symbol.asyncDispose]());

/** What was done to the keys of one round, by all clients, in the one order of sendings and answers. */
class Round {
  operations = 0;
  private order = 0;
  private readonly histories: Operation[][] = Array.from({ length: KEYS }, () => []);
  /** Writes that had no answer, or a 503: they may have taken effect. */
  private readonly unknown: { readonly key: number; readonly value: string; readonly sentAt: number }[] = [];

  now(): number {
    return this.order++;
  }

  /** @returns whether the request was answered for certain. */
  async put(client: HttpClient, key: number, name: string, value: string): Promise<void> {
    const sentAt = this.now();
    const status = await statusOf(client.put(name, value));
    this.operations++;
    if (status === 201) this.histories[key].push({ kind: 'put', value, sentAt, answeredAt: this.now() });
    else this.unknown.push({ key, value, sentAt });
  }

  async get(client: HttpClient, key: number, name: string): Promise<void> {
    const sentAt = this.now();
    const answer = await client.get(cachePath(name)).catch(() => undefined);
    this.operations++;
    if (answer?.status !== 200 && answer?.status !== 404) return;
    const value = answer.status === 200 ? (JSON.parse(answer.text) as { value: string }).value : null;
    this.histories[key].push({ kind: 'get', value, sentAt, answeredAt: this.now() });
  }

  /** The entries of some keys were lost at some moment in this time. */
  lost(keys: readonly number[], sentAt: number): void {
    for (const key of keys) {
      this.histories[key].push({ kind: 'clear', value: null, sentAt, answeredAt: this.now() });
    }
  }

  /**
   * A write of unknown outcome that was never read may be left out. One that was read has taken effect, at some time
   * after it was sent.
   */
  isPossible(): boolean {
    const end = this.now();
    return this.histories.every((history, key) => {
      const read = new Set(history.flatMap(({ kind, value }) => (kind === 'get' ? [value] : [])));
      const effects = this.unknown
        .filter((write) => write.key === key && read.has(write.value))
        .map(({ value, sentAt }): Operation => ({ kind: 'put', value, sentAt, answeredAt: end }));
      return isLinearizable([...history, ...effects]);
    });
  }
}

async function statusOf(answer: Promise<{ readonly status: number }>): Promise<number | undefined> {
  return (await answer.catch(() => undefined))?.status;
}

async function shardOf(name: string): Promise<number> {
  const { text } = await server.client.get(`/dashboard/entry?key=${name}`);
  return (JSON.parse(text) as { shard: number }).shard;
}

type Fault = 'none' | 'shard' | 'front';

async function fail(fault: Fault, round: Round, names: readonly string[], random: Random): Promise<void> {
  if (fault === 'front') {
    const victim = servingFronts(server)[random.whole(1, FRONTS - 1)];
    await server.fronts.fronts[victim - 1].kill();
    await expect.poll(() => servingFronts(server).length, { interval: 1 }).toBe(FRONTS);
  } else if (fault === 'shard') {
    const shard = random.whole(0, SHARDS - 1);
    const shards = await Promise.all(names.map(shardOf));
    const sentAt = round.now();
    await server.router.shards[shard].kill();
    await expect.poll(() => server.router.isReady, { interval: 1 }).toBe(true);
    round.lost(
      names.flatMap((_, key) => (shards[key] === shard ? [key] : [])),
      sentAt,
    );
  }
}

async function play(n: number, clients: readonly HttpClient[], random: Random): Promise<Round> {
  const round = new Round();
  const names = Array.from({ length: KEYS }, (_, key) => `round-${n}-${key}`);
  const perform = async (client: HttpClient, number: number): Promise<void> => {
    for (let step = 0; step < STEPS; step++) {
      const key = random.whole(0, KEYS - 1);
      const value = `${number}.${step}${random.chance(0.2) ? LARGE : ''}`;
      if (random.chance(0.4)) await round.put(client, key, names[key], value);
      else await round.get(client, key, names[key]);
    }
  };
  const fault = (['none', 'shard', 'front'] as const)[n % 3];
  await Promise.all([...clients.map(perform), fail(fault, round, names, random)]);
  return round;
}

test(
  'clients of four HTTP threads see one order of each key, while shards and HTTP threads are killed',
  { timeout: IS_LONG ? 600_000 : 60_000 },
  async () => {
    const random = new Random(printedSeed('fronts'));
    const clients = [...(await spreadClients(server, 2)).values()].flat();
    let operations = 0;
    for (let n = 0; n < ROUNDS; n++) {
      const round = await play(n, clients, random);
      expect(round.isPossible(), `round ${n}`).toBe(true);
      operations += round.operations;
    }
    for (const client of clients) client.close();
    console.log(`four HTTP threads: ${operations} operations`);
    expect(operations).toBe(ROUNDS * clients.length * STEPS);
    const restarts = server.fronts.fronts.reduce((sum, front) => sum + front.restarts, 0);
    expect(restarts).toBe(ROUNDS / 3);
  },
);
