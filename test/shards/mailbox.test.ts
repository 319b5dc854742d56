import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
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

/** Time goes by with looks at the deadlines, as it does on a thread that does not stand still. */
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

  test('three requests leave when their turn ends, four wait for a turn that brings no more', async () => {
    for (const [requests, afterTurns] of [
      [3, [1]],
      [4, [0, 1]],
    ] as const) {
      const gathering = new FakeShard({ queueLimit: 8, deadlineMs: DEADLINE_MS });
      for (let i = 0; i < requests; i++) gathering.mailbox.send(encodeGet('a', false), new Recorder());
      for (const received of afterTurns) {
        await turnEnds();
        expect(gathering.received()).toBe(received);
      }
      gathering.close();
    }
  });

  test('a batch that has grown long does not wait for the end of its turn', () => {
    const value = 'v'.repeat(2 ** 13);
    const long = new FakeShard({ queueLimit: 64, deadlineMs: DEADLINE_MS });
    let sent = 0;
    while (long.received() === 0 && sent < 64) {
      long.mailbox.send(encodePut('a', value, 0), new Recorder());
      sent++;
    }
    expect(sent * value.length).toBeGreaterThan(2 ** 17);
    expect(sent * value.length).toBeLessThanOrEqual(2 ** 18);
    long.close();
  });

  test('replies reach their receivers in the order of the requests, however they are bundled', async () => {
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

  test('a late answer reaches its receiver by its ticket, and does not hold up the others', async () => {
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

  test('what comes after a large PUT gathers until that is answered', async () => {
    send({ key: 'a', value: 'x', ttlMs: 0 });
    await expect.poll(() => shard.requests.length, { interval: 1 }).toBe(1);
    const gets = ['b', 'c'].map((key) => send(encodeGet(key, false)));
    shard.reply(reply(STORED));
    await untilBatches(1);
    expect(shard.batches).toStrictEqual([encodeGet('b', false) + encodeGet('c', false)]);
    shard.reply(reply(MISS) + reply(MISS));
    await untilSettled(...gets);
  });

  test('a large PUT is answered by its deadline, and when its shard is no more', () => {
    const overdue = send({ key: 'a', value: 'x', ttlMs: 0 });
    passTime(DEADLINE_MS);
    expect(overdue.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
    const lost = send({ key: 'a', value: 'x', ttlMs: 0 });
    shard.mailbox.close();
    expect(lost.settled).toStrictEqual([{ code: UNAVAILABLE, payload: '' }]);
    expect(overdue.settled).toHaveLength(1);
  });

  test('only replies that wait for room are a reason to make some', async () => {
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

  test('bytes that are handed over reach their receivers, among short replies and late', async () => {
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

  test('has room for as many requests as its limit, and again when they are answered', async () => {
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

  test('the deadline of a request begins when it is sent, whatever its batch waits for', async () => {
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

  test('where there is no room, replies that have come make some within the turn, looked for once a millisecond', async () => {
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

  test('where there is no room, what has gathered leaves when the batch before it is answered', async () => {
    send(encodeGet('a', false));
    await untilBatches(1);
    for (const request of ['b', 'c', 'd']) send(encodeGet(request, false));
    shard.reply(reply(MISS));
    expect(shard.mailbox.hasRoomFor('read')).toBe(true);
    expect(shard.received()).toBe(2);
  });

  test('what has waited for the deadline is told so, and what the shard says then is dropped', async () => {
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

  test('after this thread has stood still, replies that lie in the port are read before anybody is told', async () => {
    const waiting = send(encodeGet('a', false));
    await untilBatches(1);
    shard.reply(reply(HIT, `${encodeU32(1)}a`));
    shard.nowMs += DEADLINE_MS * 3;
    shard.mailbox.sweepDeadlines();
    expect(waiting.settled).toStrictEqual([]);
    await untilSettled(waiting);
    expect(waiting.settled).toStrictEqual([{ code: HIT, payload: 'a' }]);
  });

  test('standing still again does not put the deadline off again', async () => {
    const waiting = send(encodeGet('a', false));
    await untilBatches(1);
    for (let i = 0; i < 2; i++) {
      shard.nowMs += DEADLINE_MS * 3;
      shard.mailbox.sweepDeadlines();
    }
    expect(waiting.settled).toStrictEqual([{ code: OVERDUE, payload: '' }]);
  });

  test('a late answer has a deadline too', async () => {
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

  test('the ring goes round many times without mixing answers up', async () => {
    for (let round = 0; round < 50; round++) {
      const recorders = Array.from({ length: 1 + (round % 4) }, () => send(encodeGet('a', false)));
      await untilBatches(round + 1);
      shard.reply(recorders.map((_, i) => reply(HIT, encodeU32(1) + i)).join(''));
      await untilSettled(...recorders);
      expect(recorders.map(({ settled }) => settled[0].payload)).toStrictEqual(
        recorders.map((_, i) => String(i)),
      );
    }
  });

  test('closed, it tells everybody who waits, once', async () => {
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

  test('a shed order takes the time it takes, statistics have a deadline', async () => {
    const stats = shard.mailbox.control.request({ kind: 'stats' });
    const shed = shard.mailbox.control.request({ kind: 'shed', shedBytes: 5 });
    await expect.poll(() => shard.controls.length, { interval: 1 }).toBe(2);
    passTime(DEADLINE_MS * 2);
    expect(await stats).toBeUndefined();
    const result = { shedBytes: 5, shedEntries: 1, releasedBytes: 5, longestSliceMs: 1 };
    const id = shard.idOfControl(1);
    shard.reply({ kind: 'shed', id, result });
    expect(await shed).toStrictEqual({ kind: 'shed', id, result });
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

  /** One lone request, answered when its turn has ended. */
  async function askAlone(connection?: object): Promise<void> {
    const recorder = ask(connection);
    await turnEnds();
    polling.reply(reply(MISS));
    await untilSettled(recorder);
  }

  async function askTogether(requests: number): Promise<void> {
    const recorders = Array.from({ length: requests }, () => ask());
    // Many leave a turn later.
    await turnEnds();
    await turnEnds();
    polling.reply(reply(MISS).repeat(requests));
    await untilSettled(...recorders);
  }

  test('the reply to a lone request soon after another is there before the turn ends', async () => {
    await askAlone();
    const polls = vi.spyOn(polling.doorbell, 'pollForAnswer').mockImplementationOnce(() => {
      polling.reply(reply(MISS));
      return true;
    });
    const second = ask();
    await turnEnds();
    expect(polls).toHaveBeenCalledTimes(1);
    expect(second.settled).toHaveLength(1);
  });

  test('a request of a lone client leaves at once, one of several at the end of their turn', async () => {
    // As if each had been answered while it was polled for.
    vi.spyOn(polling.doorbell, 'pollForAnswer').mockReturnValue(true);
    await askAlone();
    polling.nowMs += 1;
    let before = polling.received();
    const lone = ask();
    expect(polling.received()).toBe(before + 1);
    polling.reply(reply(MISS));
    await untilSettled(lone);
    const several = [ask(), ask()];
    await turnEnds();
    polling.reply(reply(MISS).repeat(2));
    await untilSettled(...several);
    await askAlone();
    polling.nowMs += 1;
    before = polling.received();
    ask();
    expect(polling.received()).toBe(before);
    await turnEnds();
    expect(polling.received()).toBe(before + 1);
  });

  test('answers are counted before the shard is rung for', async () => {
    await askAlone();
    const answers = vi.spyOn(polling.doorbell, 'answers', 'get');
    const rings = vi.spyOn(polling.doorbell, 'ring');
    const polls = vi.spyOn(polling.doorbell, 'pollForAnswer').mockReturnValue(false);
    ask();
    await turnEnds();
    const [[counted], [rung], [polled]] = [answers, rings, polls].map((spy) => spy.mock.invocationCallOrder);
    expect([counted, rung, polled].toSorted((a, b) => a - b)).toStrictEqual([counted, rung, polled]);
    expect(polls.mock.calls[0][0]).toBe(1);
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

  test('does not poll for a request that comes a while after the last, nor for more than it may', async () => {
    await askAlone();
    const polls = vi.spyOn(polling.doorbell, 'pollForAnswer').mockReturnValue(false);
    polling.nowMs += 10;
    await askAlone();
    await askTogether(3);
    expect(polls).not.toHaveBeenCalled();
    await askTogether(2);
    expect(polls).toHaveBeenCalledTimes(1);
  });

  test('does not poll for a few requests soon after many', async () => {
    const polls = vi.spyOn(polling.doorbell, 'pollForAnswer').mockReturnValue(true);
    const polledForAfter = async (requests: number): Promise<number> => {
      await askTogether(requests);
      await askAlone();
      const before = polls.mock.calls.length;
      polling.nowMs += 1;
      await askAlone();
      return polls.mock.calls.length - before;
    };
    expect(await polledForAfter(3)).toBe(1);
    expect(await polledForAfter(4)).toBe(0);
    polling.nowMs += 2;
    expect(await polledForAfter(1)).toBe(1);
  });

  test('two clients in turns are no lone client, though there is never more than one request in flight', async () => {
    vi.spyOn(polling.doorbell, 'pollForAnswer').mockReturnValue(true);
    const clients = [{}, {}];
    const leftAtOnce = async (client: object): Promise<boolean> => {
      polling.nowMs += 1;
      const before = polling.received();
      const recorder = ask(client);
      const isSent = polling.received() > before;
      await turnEnds();
      polling.reply(reply(MISS));
      await untilSettled(recorder);
      return isSent && polling.doorbell.isForLoneClient;
    };
    for (let i = 0; i < 6; i++) expect(await leftAtOnce(clients[i % 2])).toBe(false);
    const alone = [];
    for (let i = 0; i < 5; i++) alone.push(await leftAtOnce(clients[0]));
    // Lone is who has been alone for more than 2 ms.
    expect(alone).toStrictEqual([false, false, false, true, true]);
    expect(await leftAtOnce(clients[1])).toBe(false);
    expect(polling.doorbell.isForLoneClient).toBe(false);
  });
});
