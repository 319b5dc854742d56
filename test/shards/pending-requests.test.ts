import { beforeEach, expect, test } from 'vitest';
import { PendingRequests } from '../../src/shards/pending-requests.ts';
import { HIT, MISS, OVERDUE, UNAVAILABLE } from '../../src/shared/protocol.ts';
import { Recorder } from '../support/fake-shard.ts';

let requests: PendingRequests;

beforeEach(() => {
  requests = new PendingRequests(3);
});

function track(sentAtMs: number): Recorder {
  const recorder = new Recorder();
  requests.track(recorder, sentAtMs);
  return recorder;
}

function codesOf(...recorders: readonly Recorder[]): number[][] {
  return recorders.map(({ settled }) => settled.map(({ code }) => code));
}

test('the oldest request is the next one, however often the ring has gone round', () => {
  for (let round = 0; round < 50; round++) {
    const waiting = Array.from({ length: 1 + (round % 3) }, () => track(round));
    expect(requests.unanswered).toBe(waiting.length);
    for (const { settled } of waiting) {
      requests.next().settle(MISS, String(round));
      expect(settled).toStrictEqual([{ code: MISS, payload: String(round) }]);
    }
  }
  expect(() => requests.next()).toThrow('replies to no more');
});

test('is idle while all that was posted has a reply', () => {
  expect(requests.isIdle).toBe(true);
  track(1);
  expect(requests.isIdle).toBe(true);
  requests.markPosted();
  track(2);
  expect(requests.isIdle).toBe(false);
  requests.next();
  expect(requests.isIdle).toBe(true);
});

test('a request expires at its deadline, not before, and is settled once', () => {
  const [old, young] = [track(10), track(20)];
  requests.expire(9);
  expect(codesOf(old, young)).toStrictEqual([[], []]);
  requests.expire(10);
  requests.expire(10);
  expect(codesOf(old, young)).toStrictEqual([[OVERDUE], []]);
  for (let i = 0; i < 2; i++) requests.next().settle(MISS, '');
  expect(codesOf(old, young)).toStrictEqual([[OVERDUE], [MISS]]);
});

test('an old request expires, though a young one has taken the place of one before it', () => {
  for (let ms = 1; ms <= 3; ms++) track(ms);
  const old = track(4);
  for (let i = 0; i < 3; i++) requests.next();
  const young = track(100);
  requests.expire(4);
  expect(codesOf(old, young)).toStrictEqual([[OVERDUE], []]);
});

test('a deferred reply finds its request, which counts as in flight, and has a deadline too', () => {
  const [first, second] = [track(10), track(20)];
  requests.deferNext(7, false);
  requests.deferNext(8, true);
  expect([requests.unanswered, requests.inFlight, requests.awaitsReplyRoom]).toStrictEqual([0, 2, true]);
  requests.takeDeferred(8).settle(HIT, 'body');
  expect([requests.inFlight, requests.awaitsReplyRoom]).toStrictEqual([1, false]);
  requests.expire(10);
  requests.takeDeferred(7).settle(HIT, 'too late');
  expect(codesOf(first, second)).toStrictEqual([[OVERDUE], [HIT]]);
});

test('all are settled at the end: in the ring, and deferred', () => {
  const recorders = [track(10), track(20), track(30)];
  requests.deferNext(7, false);
  requests.settleAll(UNAVAILABLE);
  expect(codesOf(...recorders)).toStrictEqual([[UNAVAILABLE], [UNAVAILABLE], [UNAVAILABLE]]);
  expect(requests.inFlight).toBe(0);
});

test("a client's batch counts as its requests, until it has a reply", () => {
  const batch = new Recorder();
  requests.track(batch, 1, 1000);
  const single = track(2);
  expect([requests.inFlight, requests.unanswered]).toStrictEqual([1001, 2]);
  requests.expire(1);
  expect(codesOf(batch, single)).toStrictEqual([[OVERDUE], []]);
  expect(requests.inFlight).toBe(1001);
  requests.next();
  expect(requests.inFlight).toBe(1);
  requests.settleAll(UNAVAILABLE);
  expect(requests.inFlight).toBe(0);
});
