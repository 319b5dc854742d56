import { describe, expect, test, vi } from 'vitest';
import {
  HIT,
  HIT_GZIP,
  LATE,
  MISS,
  WAITING,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
} from '../../../src/shared/protocol.ts';
import { createActor, expectBody, gunzip, valueIn } from '../../support/test-actor.ts';

const LONG = 'compressible '.repeat(10_000);

describe('compression', () => {
  test('of a short body is done at once, kept, charged, and gone with the entry', () => {
    const { ask, store } = createActor();
    ask(encodePut('a', LONG.slice(0, 5000), 0));
    const plainBytes = store.liveBytes;
    const [first] = ask(encodeGet('a', true));
    expect(first.code).toBe(HIT_GZIP);
    expect(valueIn(gunzip(first.body as string))).toBe(LONG.slice(0, 5000));
    const gzipBytes = (first.body as string).length;
    expect(store.liveBytes - plainBytes).toBeGreaterThanOrEqual(gzipBytes);
    expect(store.liveBytes - plainBytes).toBeLessThan(gzipBytes + 16);
    expect(ask(encodeGet('a', true))[0]).toEqual(first);
    expect(ask(encodeGet('a', false))[0].code).toBe(HIT);
    ask(encodeDelete('a'));
    expect(store.liveBytes).toBe(0);
    store.checkIntegrity();
  });

  test('is left where a body is short, and gives back a longer one as it was', () => {
    const { ask, store } = createActor();
    const noise = Array.from({ length: 1500 }, (_, i) =>
      String.fromCharCode(32 + ((i * i * 7919) % 95)),
    ).join('');
    ask(encodePut('short', 'x'.repeat(900), 0), encodePut('long', noise, 0));
    expect(ask(encodeGet('short', true))[0].code).toBe(HIT);
    expect(valueIn(expectBody(ask(encodeGet('long', true))[0]))).toBe(noise);
    store.checkIntegrity();
  });

  /** By the test's clock one compression takes 1 ms, and a turn has time for two. */
  const SHORT = LONG.slice(0, 5000);
  function askForMany(count: number) {
    const subject = createActor();
    const keys = Array.from({ length: count }, (_, i) => `key-${i}`);
    for (const key of keys) subject.ask(encodePut(key, SHORT, 0));
    const lates = keys.slice(2).map(() => subject.nextLate());
    const replies = subject.ask(...keys.map((key) => encodeGet(key, true)));
    return { ...subject, lates, replies };
  }

  test('of more short bodies than a turn has time for follows late, in later turns', async () => {
    const { ask, actor, store, deferred, lates, replies } = askForMany(7);
    expect(replies.map(({ code }) => code)).toEqual([HIT_GZIP, HIT_GZIP, LATE, LATE, LATE, LATE, LATE]);
    let turns = 0;
    for (let task = deferred.shift(); task; task = deferred.shift()) {
      expect(actor.needsTurns).toBe(true);
      task();
      turns++;
    }
    expect(turns).toBe(3);
    expect(actor.needsTurns).toBe(false);
    for (const [i, late] of (await Promise.all(lates)).entries()) {
      expect(late).toMatchObject({ code: HIT_GZIP, ticket: replies[i + 2].body });
      expect(valueIn(gunzip(late.payload))).toBe(SHORT);
    }
    expect(ask(encodeGet('key-6', true))[0].code).toBe(HIT_GZIP);
    store.checkIntegrity();
  });

  test.each([
    ['cleared', encodeClear()],
    ['deleted', encodeDelete('key-2')],
    ['replaced', encodePut('key-2', 'anew', 0)],
  ])('that still waits when the entry is %s is not done: the body goes as it was', async (_what, request) => {
    const { ask, deferred, lates, replies } = askForMany(3);
    ask(request);
    const late = await lates[0];
    expect(late).toMatchObject({ code: HIT, ticket: replies[2].body });
    expect(valueIn(late.payload)).toBe(SHORT);
    deferred.shift()!();
    expect(deferred).toEqual([]);
  });

  test.each([
    ['expired', (subject: ReturnType<typeof createActor>) => void (subject.clock.ms += 60_000)],
    ['shed', ({ store }: ReturnType<typeof createActor>) => void store.evict(2 ** 20, 'shed')],
  ])(
    'that still waits when the entry has %s is a miss, in its turn or when it is put again',
    async (_what, lose) => {
      for (const isPutAgain of [false, true]) {
        const subject = createActor();
        const { ask, deferred, nextLate } = subject;
        for (const key of ['a', 'b', 'c']) ask(encodePut(key, SHORT, 50_000));
        const late = nextLate();
        expect(ask(...['a', 'b', 'c'].map((key) => encodeGet(key, true))).at(-1)?.code).toBe(LATE);
        lose(subject);
        if (isPutAgain) ask(encodePut('c', 'anew', 0));
        else deferred.shift()!();
        expect((await late).code).toBe(MISS);
      }
    },
  );

  test('that waits makes room for others when it is settled', () => {
    const { handle, ask } = createActor(20_000);
    const keys = Array.from({ length: 5 }, (_, i) => `key-${i}`);
    for (let round = 0; round < 3; round++) {
      for (const key of keys) ask(encodePut(key, SHORT, 0));
      const codes = ask(...keys.map((key) => encodeGet(key, true))).map(({ code }) => code);
      expect(codes).toEqual([HIT_GZIP, HIT_GZIP, LATE, LATE, LATE]);
      const plainBytes = 4 * (ask(encodeGet('key-0', false))[0].body as string).length;
      ask(encodeClear());
      // What went out plain has reached its clients.
      handle({ kind: 'delivered', bytes: plainBytes });
    }
  });

  test('of a value with escapes leaves it as it is for those who want it plain', () => {
    const { ask } = createActor();
    const value = 'say "x"\n'.repeat(1000);
    ask(encodePut('a', value, 0));
    for (let i = 0; i < 2; i++) {
      expect(ask(encodeGet('a', true))[0].code).toBe(HIT_GZIP);
      expect(valueIn(expectBody(ask(encodeGet('a', false))[0]))).toBe(value);
    }
  });

  test('that waits has one turn at a time, however often its queue empties', () => {
    const { ask, deferred } = askForMany(3);
    // Each of these empties the queue and fills it again.
    for (let i = 0; i < 5; i++) {
      ask(
        encodeGet('key-0', false),
        ...['x', 'y', 'z'].flatMap((key) => [encodePut(key, SHORT, 0), encodeGet(key, true)]),
        encodePut('z', SHORT, 0),
      );
      expect(deferred.length).toBeLessThanOrEqual(1);
    }
  });

  test('that waits counts against the window, whether it is done or not', () => {
    const { actor, ask } = createActor(20_000);
    const keys = Array.from({ length: 12 }, (_, i) => `key-${i}`);
    for (const key of keys) ask(encodePut(key, SHORT, 0));
    const codes = ask(...keys.map((key) => encodeGet(key, true))).map(({ code }) => code);
    // Three bodies of 5 KB wait, the next goes plain; then the window is full.
    expect(codes.slice(0, 6)).toEqual([HIT_GZIP, HIT_GZIP, LATE, LATE, LATE, HIT]);
    expect(codes.slice(6).every((code) => code === WAITING)).toBe(true);
    expect(actor.needsTurns).toBe(true);
  });

  test('is not waited for where too much waits already', () => {
    const { replies } = askForMany(1000);
    const codes = replies.map(({ code }) => code);
    const waiting = codes.filter((code) => code === LATE).length;
    expect(waiting).toBe(Math.floor(2 ** 22 / (replies.at(-1)!.body as string).length));
    expect(codes.slice(waiting + 2).every((code) => code === HIT)).toBe(true);
  });

  test('of a long body follows late, to all who asked, and is kept', async () => {
    const { ask, store, nextLate } = createActor();
    ask(encodePut('a', LONG, 0));
    const answers = [nextLate(), nextLate()];
    const replies = ask(encodeGet('a', true), encodeGet('a', true), encodeGet('b', true));
    expect(replies.map(({ code }) => code)).toEqual([LATE, LATE, MISS]);
    const lates = await Promise.all(answers);
    expect(lates.map(({ ticket }) => ticket)).toEqual(replies.slice(0, 2).map(({ body }) => body));
    for (const late of lates) expect(valueIn(gunzip(late.payload)) === LONG).toBe(true);
    expect(ask(encodeGet('a', true))[0]).toEqual({ code: HIT_GZIP, body: lates[0].payload });
    store.checkIntegrity();
  });

  test('of a long body is waited for without building the body again', async () => {
    const { ask, store, nextLate } = createActor();
    ask(encodePut('a', LONG, 0));
    const built = vi.spyOn(store, 'valueView');
    const answers = Array.from({ length: 20 }, () => nextLate());
    ask(...answers.map(() => encodeGet('a', true)));
    for (const late of await Promise.all(answers)) expect(valueIn(gunzip(late.payload)) === LONG).toBe(true);
    expect(built).toHaveBeenCalledTimes(1);
  });

  test('of a long body is waited for by as many as the window has room for', async () => {
    const { ask, nextLate } = createActor(2 * LONG.length);
    ask(encodePut('a', LONG, 0));
    const answers = Array.from({ length: 6 }, () => nextLate());
    const codes = ask(...answers.map(() => encodeGet('a', true))).map(({ code }) => code);
    expect(codes).toEqual([LATE, LATE, WAITING, WAITING, WAITING, WAITING]);
    for (const late of await Promise.all(answers)) expect(valueIn(gunzip(late.payload)) === LONG).toBe(true);
  });

  test('of long bodies is done for two at once; whoever asks for another meanwhile gets it as it is', async () => {
    const { ask, nextLate } = createActor();
    for (const key of ['a', 'b', 'c']) ask(encodePut(key, key + LONG, 0));
    const answers = [nextLate(), nextLate(), nextLate()];
    const gets = ['a', 'b', 'c', 'a'].map((key) => encodeGet(key, true));
    expect(ask(...gets).map(({ code }) => code)).toEqual([LATE, LATE, HIT, LATE]);
    await Promise.all(answers);
    const last = nextLate();
    expect(ask(encodeGet('c', true))[0].code).toBe(LATE);
    expect(valueIn(gunzip((await last).payload)) === `c${LONG}`).toBe(true);
  });

  test.each([
    ['cleared', encodeClear(), MISS],
    ['deleted', encodeDelete('a'), MISS],
    ['replaced', encodePut('a', 'anew', 0), HIT],
  ])('is not kept when the entry was %s meanwhile', async (_what, request, code) => {
    const { ask, store, nextLate } = createActor();
    ask(encodePut('a', LONG, 0));
    const answer = nextLate();
    ask(encodeGet('a', true), request);
    // Who asked before the change gets what was there then.
    expect(valueIn(gunzip((await answer).payload)) === LONG).toBe(true);
    const [reply] = ask(encodeGet('a', true));
    expect(reply.code).toBe(code);
    if (code === HIT) expect(valueIn(reply.body as string)).toBe('anew');
    store.checkIntegrity();
  });

  test('of what was replaced by another long value meanwhile keeps the new form', async () => {
    const { ask, store, nextLate } = createActor();
    const second = `second ${LONG}`;
    ask(encodePut('a', LONG, 0));
    const answers = [nextLate(), nextLate()];
    ask(encodeGet('a', true), encodePut('a', second, 0), encodeGet('a', true));
    await Promise.all(answers);
    const [reply] = ask(encodeGet('a', true));
    expect(reply.code).toBe(HIT_GZIP);
    expect(valueIn(gunzip(reply.body as string)) === second).toBe(true);
    store.checkIntegrity();
  });
});
