import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { EMPTY_SEGMENT_BYTES } from '../../../src/shared/segment-sizes.ts';
import { type Fault, faultValue } from '../../support/faults.ts';
import { type FaultyServer, startFaultyServer } from '../../support/faulty-server.ts';
import { type Answer, cachePath, expectError } from '../../support/http-client.ts';
import { IS_LONG } from '../../support/long.ts';
import { resourcesBefore, untilNothingGrew } from '../../support/resources.ts';
import { Reader, type TimedAnswer, keysByShard } from '../../support/shard-traffic.ts';

const SHARDS = 3;
const DEADLINE_MS = 1000;
const BACK_WITHIN_MS = 200;
const KEYS_PER_SHARD = 5;
const READERS_PER_SHARD = 2;
const DEATHS = IS_LONG ? 100 : 10;
const FAULTS: readonly Fault[] = ['exit', 'throw', 'heap'];
/** A timer may fire a little early by another clock. */
const CLOCK_SLACK_MS = 5;

let server: FaultyServer;
/** Keys by the shard that owns them. */
let keys: string[][];

async function start(env: Readonly<Record<string, string>> = {}): Promise<void> {
  server = await startFaultyServer({
    SHARDS: String(SHARDS),
    REQUEST_DEADLINE_MS: String(DEADLINE_MS),
    ...env,
  });
  keys = await keysByShard(server.client, SHARDS, KEYS_PER_SHARD);
}

function startReaders(): Reader[][] {
  return keys.map((own) => Array.from({ length: READERS_PER_SHARD }, () => new Reader(server.port, own)));
}

/** Waits until each reader has had some more answers. */
async function untilRead(readers: readonly (readonly Reader[])[], more = 10): Promise<void> {
  const least = readers.flat().map(({ answers }) => answers.length + more);
  await expect
    .poll(() => readers.flat().every(({ answers }, i) => answers.length >= least[i]), {
      interval: 5,
      timeout: 10_000,
    })
    .toBe(true);
}

/** The shard is gone, or so slow near its heap limit that the deadline passes first. */
function expectRefused(answer: Answer): void {
  const isSlow = answer.text.includes('CACHE_ERR_SHARD_DEADLINE');
  expectError(answer, 503, isSlow ? 'CACHE_ERR_SHARD_DEADLINE' : 'CACHE_ERR_SHARD_UNAVAILABLE');
}

/** What clients of the victim may see: its entries, 503 in time while it is away, then an empty shard. */
function expectHonest(answers: readonly TimedAnswer[]): number {
  let refused = 0;
  for (const { answer, tookMs } of answers) {
    // Half of the deadline is slack: the machine may be busy with something else.
    expect(tookMs).toBeLessThan(DEADLINE_MS * 1.5);
    if (answer.status === 503) {
      refused++;
      expectRefused(answer);
    } else {
      expect([200, 404]).toContain(answer.status);
    }
  }
  return refused;
}

async function die(victim: number, fault: Fault): Promise<void> {
  const { restarts } = server.router.shards[victim];
  expect((await server.client.put(keys[victim][0], faultValue(fault))).status).toBe(503);
  await server.untilReplaced(victim, restarts + 1);
}

async function heldBytes(): Promise<number> {
  return (await server.client.stats()).memory.heldBytes;
}

async function clear(): Promise<void> {
  expect((await server.client.call({ method: 'DELETE', path: '/cache' })).status).toBe(200);
}

/** Entries are counted by a ledger, too. Dead shards must have given back their part of it. */
async function expectRoomFor(entries: number): Promise<void> {
  for (let i = 0; i < entries; i++) await server.client.put(`new-${i}`, 'v');
  const { totals } = await server.client.stats();
  expect(totals).toMatchObject({ entries, evicted: 0 });
}

afterEach(() => server[Symbol.asyncDispose]());

describe('a shard that dies under load', () => {
  beforeEach(() => start());

  test.each(FAULTS)(
    '%s: every shard in turn; the others fail no request, it says 503 and is back in time',
    async (fault) => {
      const backMs: number[] = [];
      const counts = { requests: 0, refused: 0 };
      for (let victim = 0; victim < SHARDS; victim++) {
        const shard = server.router.shards[victim];
        const readers = startReaders();
        await untilRead(readers);
        const asked = server.client.put(keys[victim][0], faultValue(fault));
        await expect.poll(() => shard.state, { interval: 1 }).toBe('restarting');
        await expect.poll(() => shard.state, { interval: 1 }).toBe('up');
        backMs.push(Date.now() - server.startsMs().at(-1)!);
        await untilRead(readers);
        await Promise.all(readers.flat().map((reader) => reader.stop()));

        expectRefused(await asked);
        for (const [number, own] of readers.entries()) {
          const answers = own.flatMap((reader) => reader.answers);
          counts.requests += answers.length;
          if (number === victim) counts.refused += expectHonest(answers);
          else expect(answers.filter(({ answer }) => answer.status !== 200)).toStrictEqual([]);
        }
        expect(shard.restarts).toBe(1);
        // The next round needs every key.
        for (const key of keys[victim]) expect((await server.client.put(key, 'v')).status).toBe(201);
      }
      console.log(
        `${fault}: ${SHARDS} deaths, up after ${backMs.join(', ')} ms of each start, ${JSON.stringify(counts)}`,
      );
      expect(counts.refused).toBeGreaterThan(0);
      // The machine may be busy with something else, but not every time.
      expect(Math.min(...backMs)).toBeLessThan(BACK_WITHIN_MS);
      expect((await server.client.stats()).totals.restarts).toBe(SHARDS);
    },
  );

  test('a replacement that fails three times running: starts back off, /ready says so, others go on', async () => {
    const victim = 1;
    const readers = startReaders();
    await untilRead(readers);
    const startsBefore = server.startsMs().length;
    server.failNextStarts(['import', 'throw', 'exit']);
    await server.client.put(keys[victim][0], faultValue('throw'));
    await expect.poll(() => server.router.shards[victim].restarts, { interval: 1 }).toBeGreaterThan(2);
    const [ready, health, lost] = await Promise.all([
      server.client.get('/ready'),
      server.client.get('/health'),
      server.client.get(cachePath(keys[victim][0])),
    ]);
    expectError(ready, 503, 'CACHE_ERR_NOT_READY', /shard/);
    expect(health.text).toMatch(/"shard":1,"state":"restarting"/);
    expectError(lost, 503, 'CACHE_ERR_SHARD_UNAVAILABLE');
    await server.untilReplaced(victim, 4);
    const upMs = Date.now();
    await untilRead(readers);
    await Promise.all(readers.flat().map((reader) => reader.stop()));

    expect((await server.client.get('/ready')).status).toBe(200);
    const startsMs = server.startsMs().slice(startsBefore);
    const gapsMs = startsMs.slice(1).map((ms, i) => ms - startsMs[i]);
    console.log(`starts after ${gapsMs.join(', ')} ms, then up in ${upMs - startsMs.at(-1)!} ms`);
    expect(gapsMs).toHaveLength(3);
    for (const [i, gapMs] of gapsMs.entries()) {
      expect(gapMs).toBeGreaterThanOrEqual(100 * 2 ** i - CLOCK_SLACK_MS);
    }
    for (const [number, own] of readers.entries()) {
      const answers = own.flatMap((reader) => reader.answers);
      if (number === victim) expect(expectHonest(answers)).toBeGreaterThan(0);
      else expect(answers.filter(({ answer }) => answer.status !== 200)).toStrictEqual([]);
    }
    // After a success, earlier failures do not count: the next death is followed by a start without delay.
    await server.client.put(keys[victim][0], faultValue('exit'));
    await server.untilReplaced(victim, 5);
  });

  test('input that reaches an assert in a shard ends that shard only, and is counted', async () => {
    const { shards } = server.router;
    const settled: number[] = [];
    shards[2].mailbox!.send('?', { connection: undefined, settle: (code) => void settled.push(code) });
    await server.untilReplaced(2, 1);
    expect(settled).toHaveLength(1);
    const stats = await server.client.stats();
    expect(stats.shards.map(({ restarts }) => restarts)).toStrictEqual([0, 0, 1]);
    expect((await server.client.get(cachePath(keys[0][0]))).status).toBe(200);
    expect((await server.client.put(keys[2][0], 'again')).status).toBe(201);
  });
});

/** Threads are numbered in the order in which they start. */
async function nextThreadId(): Promise<number> {
  const worker = new Worker('', { eval: true });
  const { threadId } = worker;
  await worker.terminate();
  return threadId;
}

test.each(FAULTS)('%s: one thread starts in place of the one that died, and no other', async (fault) => {
  await start();
  const id = await nextThreadId();
  await die(1, fault);
  expect((await nextThreadId()) - id).toBe(2);
});

describe(`after ${DEATHS} deaths`, () => {
  test(
    'the ledger is exact, and no listener, timer, port, thread or file is left behind',
    { timeout: 20_000 + DEATHS * 5000 },
    async () => {
      const capacity = SHARDS * KEYS_PER_SHARD * 4;
      await start({ CAPACITY: String(capacity), MAX_VALUE_BYTES: '1mb' });
      const warnings: Error[] = [];
      const onWarning = (warning: Error): void => void warnings.push(warning);
      process.on('warning', onWarning);
      onTestFinished(() => void process.off('warning', onWarning));

      // The first death loads modules that stay loaded.
      await die(0, 'exit');
      await clear();
      // Cleared memory is given back in steps.
      const emptyBytes = SHARDS * EMPTY_SEGMENT_BYTES;
      await expect.poll(heldBytes).toBe(emptyBytes);
      const before = await resourcesBefore();
      for (let n = 0; n < DEATHS; n++) {
        const victim = n % SHARDS;
        for (const key of keys[victim]) await server.client.put(key, 'x'.repeat(2 ** 20));
        const full = await server.client.stats();
        expect(full.memory.heldBytes - emptyBytes).toBeGreaterThan((KEYS_PER_SHARD - 1) * 2 ** 20);
        await die(victim, FAULTS[n % FAULTS.length]);
        expect((await server.client.stats()).memory.heldBytes).toBe(emptyBytes);
      }
      await untilNothingGrew(before);
      expect(warnings).toStrictEqual([]);
      await expectRoomFor(capacity);
    },
  );
});
