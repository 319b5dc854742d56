import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ChildServer, type Exit } from '../support/child-server.ts';
import { HttpClient, cachePath } from '../support/http-client.ts';
import { HttpPipe } from '../support/http-pipe.ts';
import { Load } from '../support/load.ts';
import { untilRefused } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

const IS_LONG = process.env['KVC_LONG'] === '1';
const ROUNDS = IS_LONG ? 20 : 1;
/** Each thread takes its own time to start. */
const MANY_SHARDS = IS_LONG ? 64 : 24;
/** A round of starting, filling and ending; filling alone may take half of it. */
const MOST_ROUND_MS = 60_000;
const EXIT_DEADLINE_MS = 5000;
/** A start that fails must end by itself; the machine may be busy with something else. */
const FAILED_START_MS = 30_000;
const MIB = 2 ** 20;
const CLEAN: Exit = { code: 0, signal: null };

/** Ends by itself, or the test fails rather than hangs. */
async function exitWithin(child: ChildServer, mostMs: number): Promise<Exit> {
  const startedMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`still runs after ${mostMs} ms`)), mostMs);
  });
  const exit = await Promise.race([child.exited, late]);
  clearTimeout(timer);
  console.log(`ended after ${Math.round(performance.now() - startedMs)} ms`);
  return exit;
}

describe('SIGTERM', () => {
  const timeout = ROUNDS * MOST_ROUND_MS;
  test('under a flood that keeps shards shedding: exit code 0 in time, quiet', { timeout }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { child, port } = await ChildServer.listening({
        env: { SHARDS: '2', MEMORY_LIMIT: '512mb', MEMORY_THRESHOLD: '0.4', SUPERVISOR_INTERVAL_MS: '10' },
      });
      const pipes = await Promise.all(Array.from({ length: 4 }, () => HttpPipe.open(port)));
      const value = 'x'.repeat(MIB / 4);
      const floods = pipes.map(async (pipe, n) => {
        for (let i = 0; ; i++) {
          const { status } = await pipe.put(`${n}-${i}`, value);
          if (status !== 201) throw new Error(`answered ${status}`);
        }
      });
      const ends = Promise.allSettled(floods);
      await expect
        .poll(() => child.output, { interval: 5, timeout: 30_000 })
        .toMatch(/"shed 10 %: asked .*, freed .* in \d+ ms"/);
      child.signal('SIGTERM');
      expect(await exitWithin(child, EXIT_DEADLINE_MS)).toStrictEqual(CLEAN);
      expect(child.errors).toBe('');
      // A flood has one begin, however many orders it takes.
      expect(child.output.match(/"memory is over the threshold/g)).toHaveLength(1);
      // The connection ended after an answer: nobody was told of an error.
      for (const end of await ends) {
        expect(String(end.status === 'rejected' && end.reason)).toMatch(/connection|ECONNRESET|EPIPE/);
      }
    }
  });

  test('three times in a row under load is as good as once', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '2' } });
    const load = new Load(port);
    await load.until(500);
    for (const name of ['SIGTERM', 'SIGTERM', 'SIGINT'] as const) child.signal(name);
    expect(await exitWithin(child, EXIT_DEADLINE_MS)).toStrictEqual(CLEAN);
    for (const { rest } of await load.ended()) expect(rest).toBe('');
    expect([...load.statuses].toSorted()).toStrictEqual(['200', '201']);
    expect(child.errors).toBe('');
  });
});

describe('closing', () => {
  test('in the middle of a shed order: the order is given up, and nothing waits for it', async () => {
    const server = await startTestServer({ SHARDS: '2', MEMORY_LIMIT: '4gb' });
    for (let i = 0; i < 64; i++) await server.client.put(`key-${i}`, 'x'.repeat(MIB / 2));
    const order = server.router.shed([16 * MIB, 16 * MIB]);
    await server[Symbol.asyncDispose]();
    // Each shard had either done its share or was ended over it.
    for (const result of await order) expect(result === undefined || result.shedBytes > 0).toBe(true);
    expect(server.router.shards.map(({ state }) => state)).toStrictEqual(['stopped', 'stopped']);
  });

  test('while a shard restarts: it does not come back, and no thread is left', async () => {
    for (const moment of ['restarting', 'up again'] as const) {
      const server = await startTestServer({ SHARDS: '3' });
      const [victim] = server.router.shards;
      await server.client.put('a', 'v');
      void victim.kill();
      await expect.poll(() => victim.state, { interval: 1 }).toBe('restarting');
      if (moment === 'up again') await expect.poll(() => victim.state, { interval: 1 }).toBe('up');
      const startedMs = performance.now();
      await server[Symbol.asyncDispose]();
      expect(performance.now() - startedMs).toBeLessThan(EXIT_DEADLINE_MS);
      await untilRefused(server.port);
      // A restart that was under way would have made the shard `up`, and its thread would hold this process.
      for (const shard of server.router.shards) {
        expect([shard.state, shard.mailbox]).toStrictEqual(['stopped', undefined]);
      }
      await expect
        .poll(() => process.getActiveResourcesInfo().filter((one) => one === 'MessagePort').length)
        .toBe(0);
    }
  });
});

describe('a start', () => {
  test(`with ${MANY_SHARDS} shards on however few processors: all are up, keys are kept, exit code 0 in time`, async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: String(MANY_SHARDS) } });
    const startedMs = Math.round(performance.now() - child.startedMs);
    const client = new HttpClient(port);
    expect((await client.get('/ready')).status).toBe(200);
    const keys = Array.from({ length: 500 }, (_, i) => `key-${i}`);
    for (const key of keys) expect((await client.put(key, `value of ${key}`)).status).toBe(201);
    for (const key of keys) expect((await client.get(cachePath(key))).text).toContain(`"value of ${key}"`);
    const { totals, shards } = await client.stats();
    console.log(`${MANY_SHARDS} shards listened after ${startedMs} ms`);
    expect([totals.entries, totals.restarts, shards.length]).toStrictEqual([keys.length, 0, MANY_SHARDS]);
    expect(shards.filter(({ entries }) => entries > 0).length).toBeGreaterThan(MANY_SHARDS * 0.75);
    client.close();
    child.signal('SIGTERM');
    expect(await exitWithin(child, EXIT_DEADLINE_MS)).toStrictEqual(CLEAN);
    expect(child.errors).toBe('');
  });

  test('on a port that is taken: one line, exit code 1, and its shards end with it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const child = new ChildServer({ env: { PORT: String(port), SHARDS: '8' } });
    expect(await exitWithin(child, FAILED_START_MS)).toStrictEqual({ code: 1, signal: null });
    other.close();
    expect(child.errors).toMatch(new RegExp(`^PORT: "${port}" is in use .*EADDRINUSE.*\\n$`));
    expect(child.output).not.toContain('listening');
  });

  test.each([
    ['100mb', '2'],
    ['1mb', '1'],
    ['256mb', '64'],
  ])(
    'with %s for %s shard(s), too little: one line that says what to change, exit code 78',
    async (limit, shards) => {
      const child = new ChildServer({ env: { MEMORY_LIMIT: limit, SHARDS: shards } });
      expect(await exitWithin(child, FAILED_START_MS)).toStrictEqual({ code: 78, signal: null });
      expect(child.errors).toMatch(/^MEMORY_LIMIT: .* is too small: .*raise MEMORY_LIMIT.*lower SHARDS\n$/);
      expect(child.output).not.toContain('listening');
    },
  );
});
