import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  BATCH_DONE,
  CLEARED,
  HIT,
  HIT_GZIP,
  LATE,
  MISS,
  OVERDUE,
  STORED,
  UNAVAILABLE,
  WAITING,
  type UnsentPut,
  bytesOf,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
  encodeU32,
} from '../../src/shared/protocol.ts';
import { encodeLateReply } from '../../src/shared/late-replies.ts';
import { FakeShard, Recorder } from '../support/fake-shard.ts';

const DEADLINE_MS = 100;

let shard: FakeShard;

beforeEach(() => {
  shard = new FakeShard({ queueLimit: 4, deadlineMs: DEADLINE_MS });
});

afterEach(() => shard.close());

function send(request: string | UnsentPut): Recorder {
  const recorder = new Recorder();
  shard.mailbox.send(request, recorder);
  return recorder;
}

function reply(code: number, rest = ''): string {
  return String.fromCharCode(code) + rest;
}

/** Time passes, with a sweep every quarter of the deadline: the thread does not stand still. */
function passTime(ms: number): void {
  for (let passed = 0; passed < ms; passed += DEADLINE_MS / 4) {
    shard.nowMs += DEADLINE_MS / 4;
    shard.mailbox.sweepDeadlines();
  }
}

async function untilBatches(count: number): Promise<void> {
  await expect.poll(() => shard.batches.length, { interval: 1 }).toBe(count);
}

async function untilSettled(...recorders: readonly Recorder[]): Promise<void> {
  await expect.poll(() => recorders.every(({ settled }) => settled.length > 0), { interval: 1 }).toBe(true);
}

function turnEnds(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

describe('Mailbox', () => {
  test('requests of one turn cross as one message, in their order', async () => {
    const requests = [encodePut('a', '1', 0), encodeGet('a', false), encodeDelete('a'), encodeClear()];
    for (const request of requests) send(request);
    await untilBatches(1);
    expect(shard.batches).toStrictEqual([requests.join('')]);
  });

  test('replies reach their requests in order, however they are bundled', async () => {
    const recorders = [1, 2, 3, 4].map(() => send(encodeGet('a', false)));
    await untilBatches(1);
    shard.reply(reply(HIT, `${encodeU32(4)}body`) + reply(MISS));
    shard.reply(reply(STORED));
    shard.reply(reply(CLEARED, encodeU32(7)));
    await untilSettled(...recorders);
    expect(recorders.map(({ settled }) => settled)).toStrictEqual([
      [{ code: HIT, payload: 'body' }],
      [{ code: MISS, payload: '' }],
      [{ code: STORED, payload: '' }],
      [{ code: CLEARED, payload: encodeU32(7) }],
    ]);
    expect(shard.mailbox.inFlight).toBe(0);
  });

  test('a deferred reply reaches its request by its ticket, and does not hold up the others', async () => {
    const [first, second] = [send(encodeGet('a', true)), send(encodeGet('b', true))];
    await untilBatches(1);
    shard.reply(reply(LATE, encodeU32(77)) + reply(MISS));
    await untilSettled(second);
    expect(first.settled).toStrictEqual([]);
    expect(shard.mailbox.inFlight).toBe(1);
    shard.reply({ kind: 'late', ticket: 77, code: HIT, payload: 'body' });
    await untilSettled(first);
    expect(first.settled).toStrictEqual([{ code: HIT, payload: 'body' }]);
    expect(shard.mailbox.inFlight).toBe(0);
  });

  test('deferred replies may come together, in any order, among those that were not deferred', async () => {
    const recorders = ['a', 'b', 'c'].map((key) => send(encodeGet(key, false)));
    await untilBatches(1);
    shard.reply(reply(LATE, encodeU32(1)) + reply(LATE, encodeU32(2)));
    const early = encodeLateReply(2, HIT, 'second', '') + encodeLateReply(1, MISS, '', '');
    shard.reply(early + reply(STORED));
    await untilSettled(...recorders);
    expect(recorders.map(({ settled }) => settled)).toStrictEqual([
      [{ code: MISS, payload: '' }],
      [{ code: HIT, payload: 'second' }],
      [{ code: STORED, payload: '' }],
    ]);
    expect(shard.mailbox.inFlight).toBe(0);
  });

  test('a large PUT is handed over, in its place among the others', async () => {
    const before = send(encodeGet('a', false));
    const large = send({ key: 'a', value: 'large', ttlMs: 5 });
    const after = send(encodeDelete('a'));
    expect(shard.mailbox.inFlight).toBe(3);
    await expect.poll(() => shard.requests.length, { interval: 1 }).toBe(3);
    expect(shard.requests).toStrictEqual([
      encodeGet('a', false),
      { kind: 'put', key: 'a', value: bytesOf('large').buffer, ttlMs: 5 },
      encodeDelete('a'),
    ]);
    shard.reply(reply(MISS) + reply(STORED));
    shard.reply(reply(MISS));
    await untilSettled(before, large, after);
    expect([large, after].map(({ settled }) => settled[0].code)).toStrictEqual([STORED, MISS]);
  });

  test("a client's batch is handed over in its place, and its requests are counted", async () => {
    const before = send(encodeGet('a', false));
    const batch = new Recorder();
    shard.mailbox.sendClientBatch(bytesOf('requests'), 3, batch);
    expect(shard.mailbox.inFlight).toBe(4);
    expect(shard.mailbox.hasRoomFor('read')).toBe(false);
    await expect.poll(() => shard.requests.length, { interval: 1 }).toBe(2);
    expect(shard.requests[0]).toBe(encodeGet('a', false));
    expect(shard.requests[1]).toMatchObject({
      kind: 'batch',
      requests: Uint8Array.from(bytesOf('requests')),
    });
    const body = bytesOf('answer');
    shard.reply(reply(MISS));
    shard.reply({ kind: 'hit', code: BATCH_DONE, body }, [body.buffer]);
    await untilSettled(before, batch);
    expect(batch.settled).toStrictEqual([{ code: BATCH_DONE, payload: Uint8Array.from(bytesOf('answer')) }]);
    expect(shard.mailbox.inFlight).toBe(0);
  });

  test('requests after a large PUT gather until it is answered', async () => {
    send({ key: 'a', value: 'x', ttlMs: 0 });
    await expect.poll(() => shard.requests.length, { interval: 1 }).toBe(1);
    const gets = ['b', 'c'].map((key) => send(encodeGet(key, false)));
    shard.reply(reply(STORED));
    await untilBatches(1);
    expect(shard.batches).toStrictEqual([encodeGet('b', false) + encodeGet('c', false)]);
    shard.reply(reply(MISS) + reply(MISS));
    await untilSettled(...gets);
  });

  test('a large PUT is settled at its deadline, and when its shard is gone', () => {
    const overdue = send({ key: 'a', value: 'x', ttlMs: 0 });
    passTime(DEADLINE_MS);
    expect(overdue.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
    const lost = send({ key: 'a', value: 'x', ttlMs: 0 });
    shard.mailbox.close();
    expect(lost.settled).toStrictEqual([{ code: UNAVAILABLE, payload: '' }]);
    expect(overdue.settled).toHaveLength(1);
  });

  test('only replies that wait for room count as waiting for room, not those that are being made', async () => {
    const recorders = [1, 2].map(() => send(encodeGet('a', false)));
    await untilBatches(1);
    shard.reply(reply(LATE, encodeU32(1)) + reply(MISS));
    await untilSettled(recorders[1]);
    expect(shard.mailbox.awaitsReplyRoom).toBe(false);
    const waiting = send(encodeGet('b', false));
    await untilBatches(2);
    shard.reply(reply(WAITING, encodeU32(2)));
    await expect.poll(() => shard.mailbox.awaitsReplyRoom).toBe(true);
    shard.reply({ kind: 'late', ticket: 2, code: MISS, payload: '' });
    await untilSettled(waiting);
    expect(shard.mailbox.awaitsReplyRoom).toBe(false);
  });

  test('bytes that are handed over reach their requests, among short replies and deferred ones', async () => {
    const recorders = [1, 2, 3].map(() => send(encodeGet('a', false)));
    await untilBatches(1);
    shard.reply(reply(MISS));
    const body = bytesOf('first');
    shard.reply({ kind: 'hit', code: HIT, body }, [body.buffer]);
    shard.reply(reply(LATE, encodeU32(3)));
    const payload = bytesOf('second');
    shard.reply({ kind: 'late', ticket: 3, code: HIT_GZIP, payload }, [payload.buffer]);
    await untilSettled(...recorders);
    expect(recorders.map(({ settled }) => settled)).toStrictEqual([
      [{ code: MISS, payload: '' }],
      [{ code: HIT, payload: new Uint8Array(Buffer.from('first')) }],
      [{ code: HIT_GZIP, payload: new Uint8Array(Buffer.from('second')) }],
    ]);
    expect(shard.mailbox.inFlight).toBe(0);
  });

  test('has room for as many requests as its limit, and again once they are answered', async () => {
    const recorders = [1, 2, 3, 4].map(() => {
      expect(shard.mailbox.hasRoomFor('read')).toBe(true);
      return send(encodeGet('a', false));
    });
    expect(shard.mailbox.hasRoomFor('read')).toBe(false);
    await untilBatches(1);
    shard.reply(reply(MISS));
    await untilSettled(recorders[0]);
    expect(shard.mailbox.hasRoomFor('read')).toBe(true);
  });

  test('the deadline of a request begins when it is sent, even while its batch waits', async () => {
    send(encodeGet('a', false));
    await untilBatches(1);
    const first = send(encodeGet('b', false));
    passTime(DEADLINE_MS / 2);
    const second = send(encodeGet('c', false));
    passTime(DEADLINE_MS / 2);
    expect(first.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
    expect(second.settled).toStrictEqual([]);
    passTime(DEADLINE_MS / 2);
    expect(second.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
  });

  test('a full mailbox reads replies within the turn, at most once a millisecond', async () => {
    const recorders = [1, 2, 3, 4].map(() => send(encodeGet('a', false)));
    await untilBatches(1);
    shard.reply(reply(MISS).repeat(4));
    expect(shard.mailbox.hasRoomFor('write')).toBe(true);
    for (const { settled } of recorders) expect(settled).toStrictEqual([{ code: MISS, payload: '' }]);
    for (const request of ['b', 'c', 'd', 'e']) send(encodeGet(request, false));
    await untilBatches(2);
    shard.reply(reply(MISS).repeat(2));
    expect(shard.mailbox.hasRoomFor('read')).toBe(false);
    shard.nowMs++;
    expect(shard.mailbox.hasRoomFor('read')).toBe(true);
  });

  test('a full mailbox posts its batch within the turn, once the one before is answered', async () => {
    send(encodeGet('a', false));
    await untilBatches(1);
    for (const request of ['b', 'c', 'd']) send(encodeGet(request, false));
    shard.reply(reply(MISS));
    expect(shard.mailbox.hasRoomFor('read')).toBe(true);
    expect(shard.received()).toBe(2);
  });

  test('a request is settled at its deadline, and the reply that comes later is dropped', async () => {
    const old = send(encodeGet('a', false));
    await untilBatches(1);
    shard.nowMs += DEADLINE_MS / 2;
    const young = send(encodeGet('b', false));
    shard.nowMs += DEADLINE_MS / 2 - 1;
    shard.mailbox.sweepDeadlines();
    expect(old.settled).toStrictEqual([]);
    shard.nowMs += 1;
    shard.mailbox.sweepDeadlines();
    expect(old.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
    expect(young.settled).toStrictEqual([]);
    shard.reply(reply(HIT, `${encodeU32(1)}a`));
    shard.reply(reply(HIT, `${encodeU32(1)}b`));
    await untilSettled(young);
    expect(old.settled).toHaveLength(1);
    expect(young.settled).toStrictEqual([{ code: HIT, payload: 'b' }]);
  });

  test('after this thread has stood still, replies that lie in the port are read before deadlines are checked', async () => {
    const waiting = send(encodeGet('a', false));
    await untilBatches(1);
    shard.reply(reply(HIT, `${encodeU32(1)}a`));
    shard.nowMs += DEADLINE_MS * 3;
    shard.mailbox.sweepDeadlines();
    expect(waiting.settled).toStrictEqual([]);
    await untilSettled(waiting);
    expect(waiting.settled).toStrictEqual([{ code: HIT, payload: 'a' }]);
  });

  test('a thread that stands still twice does not put the deadline off twice', async () => {
    const waiting = send(encodeGet('a', false));
    await untilBatches(1);
    for (let i = 0; i < 2; i++) {
      shard.nowMs += DEADLINE_MS * 3;
      shard.mailbox.sweepDeadlines();
    }
    expect(waiting.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
  });

  test('a deferred reply has a deadline too', async () => {
    const recorder = send(encodeGet('a', true));
    await untilBatches(1);
    shard.reply(reply(LATE, encodeU32(5)));
    const barrier = shard.mailbox.control.request({ kind: 'stats' });
    await expect.poll(() => shard.controls.length, { interval: 1 }).toBe(1);
    passTime(DEADLINE_MS);
    await barrier;
    await untilSettled(recorder);
    shard.reply({ kind: 'late', ticket: 5, code: HIT, payload: 'body' });
    expect(recorder.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
  });

  test('closed, it settles every pending request once', async () => {
    const waiting = [send(encodeGet('a', true)), send(encodeGet('b', false))];
    await untilBatches(1);
    shard.reply(reply(LATE, encodeU32(1)));
    const stats = shard.mailbox.control.request({ kind: 'stats' });
    const shed = shard.mailbox.control.request({ kind: 'shed', shedBytes: 1 });
    shard.mailbox.close();
    shard.mailbox.close();
    for (const { settled } of waiting) expect(settled).toStrictEqual([{ code: UNAVAILABLE, payload: '' }]);
    expect(await Promise.all([stats, shed])).toStrictEqual([undefined, undefined]);
    expect(await shard.mailbox.control.request({ kind: 'stats' })).toBeUndefined();
  });

  test('the bell rings for each message, after it has been posted', async () => {
    const received: number[] = [];
    vi.spyOn(shard.doorbell, 'ring').mockImplementation(() => void received.push(shard.received()));
    send(encodeGet('a', false));
    await untilBatches(1);
    void shard.mailbox.control.request({ kind: 'stats' });
    expect(received).toStrictEqual([1, 2]);
  });
});

describe('Mailbox that polls', () => {
  let polling: FakeShard;

  beforeEach(() => {
    polling = new FakeShard({ queueLimit: 4, deadlineMs: DEADLINE_MS, maxPolledFor: 2 });
  });

  afterEach(() => polling.close());

  function ask(connection?: object): Recorder {
    const recorder = new Recorder(connection);
    polling.mailbox.send(encodeGet('a', false), recorder);
    return recorder;
  }

  /** One request, with its reply after the turn. The next one will be polled for. */
  async function askAlone(): Promise<void> {
    const recorder = ask();
    await turnEnds();
    polling.reply(reply(MISS));
    await untilSettled(recorder);
  }

  /** The shard replies as soon as the doorbell rings, before the mailbox does anything else. */
  function replyWhenRung(requests: number): void {
    const ring = polling.doorbell.ring.bind(polling.doorbell);
    vi.spyOn(polling.doorbell, 'ring').mockImplementationOnce(() => {
      ring();
      polling.reply(reply(MISS).repeat(requests));
    });
  }

  test('replies to a few requests soon after others are there before the turn ends', async () => {
    await askAlone();
    replyWhenRung(2);
    const few = [ask({}), ask({})];
    await turnEnds();
    for (const { settled } of few) expect(settled).toStrictEqual([{ code: MISS, payload: '' }]);
  });

  test('a request of a lone client is posted at once, and the shard knows that the client is alone', async () => {
    await askAlone();
    polling.nowMs += 1;
    const before = polling.received();
    replyWhenRung(1);
    const lone = ask();
    expect(polling.received()).toBe(before + 1);
    expect(polling.doorbell.isForLoneClient).toBe(true);
    await turnEnds();
    expect(lone.settled).toHaveLength(1);
    const crowd = [ask(), ask()];
    await turnEnds();
    expect(polling.doorbell.isForLoneClient).toBe(false);
    polling.reply(reply(MISS).repeat(2));
    await untilSettled(...crowd);
  });

  test('gives up after a moment, takes the reply as it comes, and does not poll for the next', async () => {
    await askAlone();
    const polls = vi.spyOn(polling.doorbell, 'pollForAnswer');
    const second = ask();
    await turnEnds();
    expect(polls).toHaveReturnedWith(false);
    expect(second.settled).toHaveLength(0);
    polling.reply(reply(HIT, `${encodeU32(4)}body`));
    await untilSettled(second);
    expect(second.settled).toStrictEqual([{ code: HIT, payload: 'body' }]);
    await askAlone();
    expect(polls).toHaveBeenCalledTimes(1);
    await askAlone();
    expect(polls).toHaveBeenCalledTimes(2);
  });

  test('does not poll behind a large reply, and does again behind a small one', async () => {
    await askAlone();
    const polls = vi.spyOn(polling.doorbell, 'pollForAnswer');
    const large = ask();
    polling.reply(reply(HIT, `${encodeU32(4096)}${'x'.repeat(4096)}`));
    await untilSettled(large);
    polls.mockClear();
    await askAlone();
    expect(polls).not.toHaveBeenCalled();
    await askAlone();
    expect(polls).toHaveBeenCalled();
  });
});
