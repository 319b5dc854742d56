import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { gunzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Doorbell } from '../../src/shared/doorbell.ts';
import {
  BUSY,
  CLEARED,
  type ControlReply,
  DELETED,
  type FromShard,
  HIT,
  HIT_GZIP,
  LATE,
  MISS,
  STORED,
  type SessionMessage,
  TOO_LARGE,
  WAITING,
  bytesOf,
  decodeU32,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
} from '../../src/shared/protocol.ts';
import { Session } from '../../workers/session.ts';
import { ShardActor } from '../../workers/shard-actor.ts';
import { MIB, createSegment } from '../support/segments.ts';

/** An answer that followed, its payload as text. */
interface Late {
  readonly ticket: number;
  readonly code: number;
  readonly payload: string;
}

interface Reply {
  readonly code: number;
  /** The payload of a hit, else the number that came with the code. */
  readonly body: string | number;
}

const LONG = 'compressible '.repeat(10_000);

function createActor(replyWindowBytes = 64 * MIB, replyCells = new Int32Array(1)) {
  const subject = createSegment();
  const replies: Reply[] = [];
  /** What was posted, in its order. */
  const events: string[] = [];
  const controls: ControlReply[] = [];
  const deferred: (() => void)[] = [];
  const lateWaiters: ((late: Late) => void)[] = [];
  let ms = 0;
  const actor = new ShardActor({
    store: subject.store,
    gzipThresholdBytes: 1024,
    shard: 0,
    replyCells,
    replyWindowBytes,
    deadlineMs: 1000,
    nowMs: () => ms++,
    defer,
    deferSlice: defer,
  });
  const { port1, port2 } = new MessageChannel();
  const session = new Session(port2, new Doorbell());
  onTestFinished(() => port1.close());
  port1.on('message', take);

  function take(message: FromShard): void {
    events.push(typeof message === 'string' ? 'replies' : message.kind);
    if (typeof message === 'string') replies.push(...parse(message));
    else if (message.kind === 'hit') replies.push({ code: message.code, body: textOf(message.body) });
    else if (message.kind === 'late') lateWaiters.shift()?.({ ...message, payload: textOf(message.payload) });
    else controls.push(message);
  }

  function defer(task: () => void): void {
    deferred.push(() => {
      task();
      takePosted();
    });
  }

  function handle(message: SessionMessage): void {
    actor.handle(session, message);
    takePosted();
  }

  function takePosted(): void {
    for (;;) {
      const posted: { message: FromShard } | undefined = receiveMessageOnPort(port1);
      if (!posted) return;
      take(posted.message);
    }
  }

  return {
    ...subject,
    actor,
    session,
    handle,
    controls,
    events,
    deferred,
    /** Sends one batch. @returns all replies to it. */
    ask: (...requests: readonly string[]): Reply[] => {
      handle(requests.join(''));
      return replies.splice(0);
    },
    nextLate: (): Promise<Late> =>
      new Promise((resolve) => {
        lateWaiters.push(resolve);
      }),
  };
}

function textOf(payload: string | Uint8Array<ArrayBuffer>): string {
  return typeof payload === 'string' ? payload : Buffer.from(payload).toString('latin1');
}

function parse(text: string): Reply[] {
  const replies: Reply[] = [];
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at++);
    if (code === HIT || code === HIT_GZIP) {
      const end = at + 4 + decodeU32(text, at);
      replies.push({ code, body: text.slice(at + 4, end) });
      at = end;
    } else if (code === CLEARED || code === LATE || code === WAITING) {
      replies.push({ code, body: decodeU32(text, at) });
      at += 4;
    } else {
      replies.push({ code, body: '' });
    }
  }
  return replies;
}

function valueIn(body: string): string {
  return (JSON.parse(body) as { value: string }).value;
}

function gunzip(body: string): string {
  return gunzipSync(Buffer.from(body, 'latin1')).toString('latin1');
}

describe('a batch', () => {
  test('is answered in the order of its requests', () => {
    const { ask } = createActor();
    const replies = ask(
      encodeGet('a', false),
      encodePut('a', 'x"\n\u0000', 0),
      encodeGet('a', false),
      encodePut('b', '', 5000),
      encodeDelete('b'),
      encodeDelete('b'),
      encodePut('big', 'x'.repeat(MIB + 4096), 0),
      encodeClear(),
      encodeGet('a', false),
    );
    expect(replies.map(({ code }) => code)).toEqual([
      MISS,
      STORED,
      HIT,
      STORED,
      DELETED,
      MISS,
      TOO_LARGE,
      CLEARED,
      MISS,
    ]);
    expect(JSON.parse(replies[2].body as string)).toEqual({ status: 'OK', key: 'a', value: 'x"\n\u0000' });
    expect(replies[7].body).toBe(1);
  });

  test('of many long answers is answered in parts, the first before the last is made', () => {
    const { ask, events } = createActor();
    ask(encodePut('a', 'v'.repeat(1000), 0));
    events.length = 0;
    const replies = ask(...Array.from({ length: 200 }, () => encodeGet('a', false)));
    expect(replies.every(({ code }) => code === HIT)).toBe(true);
    // 200 KB, in parts of 64 KiB.
    expect(events).toStrictEqual(['replies', 'replies', 'replies', 'replies']);
  });

  test('carries a ttl to the store', () => {
    const { ask, clock } = createActor();
    const tenYearsMs = 315_360_000_000;
    ask(encodePut('a', 'v', 1500), encodePut('b', 'v', tenYearsMs));
    clock.ms += 1500;
    expect(ask(encodeGet('a', false), encodeGet('b', false)).map(({ code }) => code)).toEqual([MISS, HIT]);
    clock.ms += tenYearsMs - 1500;
    expect(ask(encodeGet('b', false))[0].code).toBe(MISS);
  });
});

describe('what is large is handed over', () => {
  const value = `"${LONG}\n`;

  test('a PUT leaves nothing of its buffer behind', () => {
    const { handle, ask, store } = createActor();
    const bytes = bytesOf(value).buffer;
    handle({ kind: 'put', key: 'a', value: bytes, ttlMs: 0 });
    expect(bytes.detached).toBe(true);
    expect(store.get('a') === value).toBe(true);
    const [stored, hit] = ask(encodeGet('a', false));
    expect(stored.code).toBe(STORED);
    expect(valueIn(hit.body as string) === value).toBe(true);
  });

  test('a GET keeps its place among short ones', () => {
    const { ask } = createActor();
    ask(encodePut('large', value, 0), encodePut('short', 's', 0));
    const gets = ['short', 'large', 'none', 'large', 'short'].map((key) => encodeGet(key, false));
    const replies = ask(...gets);
    expect(replies.map(({ code }) => code)).toEqual([HIT, HIT, MISS, HIT, HIT]);
    expect(
      [0, 1, 3, 4]
        .map((i) => valueIn(replies[i].body as string))
        .every((got, i) => (i === 0 || i === 3 ? got === 's' : got === value)),
    ).toBe(true);
  });
});

describe('a read that finds the reply window full', () => {
  const value = 'x'.repeat(20_000);

  function fill() {
    const subject = createActor(10_000);
    subject.ask(encodePut('a', value, 0), encodePut('b', value, 0));
    const [first, second, small] = subject.ask(
      encodeGet('a', false),
      encodeGet('b', false),
      encodeGet('none', false),
    );
    expect([first.code, second.code, small.code]).toEqual([HIT, WAITING, MISS]);
    return { ...subject, ticket: second.body, bytes: (first.body as string).length };
  }

  test('waits for those before it, and counts itself then', async () => {
    const { handle, ask, nextLate, ticket, bytes } = fill();
    const late = nextLate();
    handle({ kind: 'delivered', bytes });
    const { payload, ...rest } = await late;
    expect(rest).toMatchObject({ ticket, code: HIT });
    expect(valueIn(payload)).toBe(value);
    expect(ask(encodeGet('a', false))[0].code).toBe(WAITING);
    const again = nextLate();
    handle({ kind: 'delivered', bytes: payload.length });
    expect((await again).code).toBe(HIT);
  });

  test.each([
    ['put', encodePut('b', 'anew', 0)],
    ['deleted', encodeDelete('b')],
    ['cleared', encodeClear()],
  ])('is refused when its entry is %s before its turn, and is told nothing newer', async (_what, request) => {
    const { handle, ask, controls, nextLate, ticket, bytes } = fill();
    const late = nextLate();
    ask(request);
    expect(await late).toMatchObject({ ticket, code: BUSY });
    handle({ kind: 'delivered', bytes });
    expect(controls).toEqual([]);
  });

  test('is told its ticket before it is refused, in one batch, too', async () => {
    const { ask, nextLate, events } = fill();
    events.length = 0;
    const lates = [nextLate(), nextLate()];
    ask(encodeGet('b', false), encodeDelete('b'));
    await Promise.all(lates);
    expect(events).toEqual(['replies', 'late', 'late', 'replies']);
  });
});

test('a reply that was made while another shard took the room is not kept, and waits', () => {
  const cells = new Int32Array(2);
  const { ask, store } = createActor(10_000, cells);
  ask(encodePut('a', 'x'.repeat(20_000), 0));
  const valueView = store.valueView.bind(store);
  store.valueView = (slot) => {
    cells[1] = 20_000;
    return valueView(slot);
  };
  const transfer = vi.spyOn(ArrayBuffer.prototype, 'transfer');
  onTestFinished(() => transfer.mockRestore());
  expect(ask(encodeGet('a', false))[0].code).toBe(WAITING);
  expect(transfer.mock.calls).toStrictEqual([[0]]);
  expect(transfer.mock.contexts).toMatchObject([{ detached: true }]);
});

describe('the body of a hit', () => {
  const escapes = 'say "x"\n';
  test.each([
    ['short', 'x'.repeat(100)],
    ['short, with escapes', escapes],
    ['long', 'x'.repeat(100_000)],
    ['long, with escapes at its end only', 'x'.repeat(100_000) + escapes.repeat(20_000)],
    ['long, all escapes', '\u0000'.repeat(50_000)],
  ])('is the same each time: %s', (_what, value) => {
    const { ask, store } = createActor();
    ask(encodePut('a"', value, 0));
    for (let i = 0; i < 3; i++) {
      const body = expectBody(ask(encodeGet('a"', false))[0]);
      expect(body === JSON.stringify({ status: 'OK', key: 'a"', value })).toBe(true);
    }
    const other = `${escapes}${value.slice(0, -escapes.length)}`;
    ask(encodePut('a"', other, 0));
    expect(valueIn(expectBody(ask(encodeGet('a"', false))[0])) === other).toBe(true);
    store.checkIntegrity();
  });
});

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
      expect(actor.isCompressing).toBe(true);
      task();
      turns++;
    }
    expect(turns).toBe(3);
    expect(actor.isCompressing).toBe(false);
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
    expect(actor.isCompressing).toBe(true);
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

test('a shed order is carried out in slices, between which requests are answered', () => {
  const { handle, ask, controls, deferred, store } = createActor();
  for (let i = 0; i < 2000; i++) ask(encodePut(`key-${i}`, 'v'.repeat(1000), 0));
  handle({ kind: 'shed', id: 7, shedBytes: 500_000 });
  expect(controls).toEqual([]);
  let slices = 0;
  for (let task = deferred.shift(); task; task = deferred.shift()) {
    expect(ask(encodeGet('key-1999', false))[0].code).toBe(HIT);
    task();
    slices++;
  }
  expect(slices).toBeGreaterThan(3);
  expect(controls).toMatchObject([{ kind: 'shed', id: 7, result: { shedEntries: store.counters.shed } }]);
  expect(ask(encodeGet('key-0', false))[0].code).toBe(MISS);
  handle({ kind: 'stats', id: 8 });
  expect(controls[1]).toMatchObject({ kind: 'stats', id: 8, stats: { shedOrders: 1, puts: 2000 } });
});

function expectBody(reply: Reply): string {
  expect(reply.code).toBeOneOf([HIT, HIT_GZIP]);
  return reply.code === HIT ? (reply.body as string) : gunzip(reply.body as string);
}
