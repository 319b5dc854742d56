import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Fault, faultValue } from '../../support/faults.ts';
import { type FaultyServer, startFaultyServer } from '../../support/faulty-server.ts';
import { cachePath, expectError } from '../../support/http-client.ts';
import { IS_LONG } from '../../support/long.ts';
import { resourcesBefore, untilNothingGrew } from '../../support/resources.ts';
import { Reader, type TimedAnswer, keysByShard } from '../../support/shard-traffic.ts';

const SHARDS = 3;
const VICTIM = 1;
const DEADLINE_MS = 1000;
const SILENCE_LIMIT_MS = 2000;
/** Two checks, four of them a second, must find more than 2 s of silence. Then a new thread starts. */
const REPLACED_WITHIN_MS = SILENCE_LIMIT_MS + 3 * 250 + 1000;
/** The machine may be busy with something else. */
const SLACK = 2;

let server: FaultyServer;
let keys: string[][];

beforeEach(async () => {
  server = await startFaultyServer({ SHARDS: String(SHARDS), REQUEST_DEADLINE_MS: String(DEADLINE_MS) });
  keys = await keysByShard(server.client, SHARDS, 3);
});

afterEach(() => server[Symbol.asyncDispose]());

function medianMs(answers: readonly TimedAnswer[]): number {
  return answers.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b)[Math.floor(answers.length / 2)];
}

describe('a shard that hangs', () => {
  // `loop` burns a processor, `sleep` stands still. Neither would ever end by itself.
  test.each<Fault>(IS_LONG ? ['loop', 'sleep'] : ['loop'])(
    '%s: it is ended and replaced; 503 by the deadline meanwhile; the others are not slowed',
    async (fault) => {
      const { router, client } = server;
      // Opens as many connections as this client will need. They stay open.
      await Promise.all([client.get('/ready'), client.get('/ready')]);
      const before = await resourcesBefore();
      const emptyBytes = (await client.stats()).memory.heldBytes;
      // Requests to the victim wait for the deadline each time, so each shard has several readers.
      const readers = keys.map((own) => [1, 2, 3].map(() => new Reader(server.port, own)));
      await expect.poll(() => readers.flat().every(({ answers }) => answers.length > 50)).toBe(true);
      const hungMs = performance.now();
      const asked = client.put(keys[VICTIM][0], faultValue(fault));
      const isReadyMeanwhile = client.get('/ready');
      await server.untilReplaced(VICTIM, 1);
      const replacedMs = performance.now() - hungMs;
      await Promise.all(readers.flat().map((reader) => reader.stop()));

      expectError(await asked, 503, 'CACHE_ERR_SHARD_DEADLINE', /in time/);
      expect((await isReadyMeanwhile).status).toBe(200);
      expect(replacedMs).toBeLessThan(REPLACED_WITHIN_MS * SLACK);
      const refused = readers[VICTIM].flatMap(({ answers }) => answers).filter(
        ({ answer }) => answer.status === 503,
      );
      const overdue = refused.filter(({ answer }) => answer.text.includes('CACHE_ERR_SHARD_DEADLINE'));
      expect(overdue.length).toBeGreaterThan(3);
      // And the PUT itself.
      expect(server.app.traffic.counts.refusals.shard_deadline).toBe(overdue.length + 1);
      for (const { answer, tookMs } of refused) {
        expect(tookMs).toBeLessThan(DEADLINE_MS * SLACK);
        const isGone = answer.text.includes('CACHE_ERR_SHARD_UNAVAILABLE');
        expectError(answer, 503, isGone ? 'CACHE_ERR_SHARD_UNAVAILABLE' : 'CACHE_ERR_SHARD_DEADLINE');
      }
      const others = readers
        .toSpliced(VICTIM, 1)
        .flat()
        .flatMap(({ answers }) => answers);
      expect(others.filter(({ answer }) => answer.status !== 200)).toStrictEqual([]);
      const meanwhile = others.filter(({ startedMs }) => startedMs > hungMs);
      const calm = others.filter(({ startedMs }) => startedMs <= hungMs);
      console.log(
        `${fault}: replaced after ${Math.round(replacedMs)} ms, ${overdue.length} overdue; the others answered ` +
          `${meanwhile.length}, median ${medianMs(meanwhile).toFixed(2)} ms, before ${medianMs(calm).toFixed(2)} ms`,
      );
      // Requests that were held up with the victim's would take as long as the deadline.
      expect(medianMs(meanwhile)).toBeLessThan(DEADLINE_MS / 20);
      expect(meanwhile.length).toBeGreaterThan(overdue.length * 10);

      expect(router.shards.map(({ restarts }) => restarts)).toStrictEqual([0, 1, 0]);
      expect((await client.get(cachePath(keys[VICTIM][0]))).status).toBe(404);
      expect((await client.put(keys[VICTIM][0], 'again')).status).toBe(201);
      expect((await client.get(cachePath(keys[VICTIM][0]))).text).toContain('"again"');
      expect((await client.stats()).memory.heldBytes).toBe(emptyBytes);
      await untilNothingGrew(before);
    },
  );

  test.runIf(IS_LONG)(
    'hanging at its start it is given up and started again',
    { timeout: 30_000 },
    async () => {
      server.failNextStarts(['loop']);
      await server.client.put(keys[VICTIM][0], faultValue('exit'));
      await expect.poll(() => server.startsMs().length).toBe(SHARDS + 1);
      expectError(await server.client.get('/ready'), 503, 'CACHE_ERR_NOT_READY');
      await server.untilReplaced(VICTIM, 2);
      const [hungMs, goodMs] = server.startsMs().slice(-2);
      // The deadline of a start, and the first delay.
      expect(goodMs - hungMs).toBeGreaterThan(4000);
      expect((await server.client.get('/ready')).status).toBe(200);
    },
  );
});

test('a main thread that hangs does not end shards for being silent: all keep their entries', async () => {
  const { router, client } = server;
  const looks = vi.spyOn(router.shards[VICTIM], 'checkHeartbeat');
  // After this the event loop runs timers, and so the next check, before it reads the shards' answers.
  await setImmediate();
  for (const shard of router.shards) shard.checkHeartbeat();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SILENCE_LIMIT_MS + 500);
  // That check, and two more, which would find a shard gone if the first had ended it.
  await expect.poll(() => looks.mock.calls.length).toBeGreaterThan(3);
  expect(router.shards.map(({ restarts }) => restarts)).toStrictEqual([0, 0, 0]);
  for (const key of keys.flat()) expect((await client.get(cachePath(key))).status).toBe(200);
});
