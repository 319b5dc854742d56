import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { InvariantError } from '../../../src/shared/assert.ts';
import { Doorbell } from '../../../src/shared/doorbell.ts';
import { GET } from '../../../src/shared/protocol.ts';
import { DeferredReads } from '../../../workers/reads/deferred-reads.ts';
import { FlowControlWindow } from '../../../workers/reads/flow-control-window.ts';
import { readKindOf } from '../../../workers/reads/reply-body.ts';
import { Session } from '../../../workers/session.ts';

const KIND = readKindOf(GET)!;

/** The windows of some shards, each with room for ten bytes. */
function createWindows(shards: number) {
  const clock = { ms: 0 };
  const cells = new Int32Array(shards);
  const windows = Array.from(
    { length: shards },
    (_, shard) => new FlowControlWindow({ shard, cells, shareBytes: 10, nowMs: () => clock.ms }),
  );
  return { windows, clock, cells };
}

test('replies go until a shard’s share is used; the last may be larger', () => {
  const [window] = createWindows(1).windows;
  window.take(9);
  expect(window.hasRoom).toBe(true);
  window.take(9);
  expect(window.hasRoom).toBe(false);
  window.giveBack(9);
  expect(window.hasRoom).toBe(true);
});

test('what is larger than all shares together goes once in all, not once from each shard', () => {
  const { windows, clock } = createWindows(3);
  windows[0].take(50);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, false, false]);
  windows[0].giveBack(50);
  // Whoever had it leaves the next one to the others.
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, true, true]);
  windows[1].take(50);
  expect(windows[2].hasRoom).toBe(false);
  windows[1].giveBack(50);
  clock.ms += 25;
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([true, true, true]);
});

test('what is only larger than a shard’s share goes until all shares are used', () => {
  const { windows } = createWindows(3);
  windows[0].take(20);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, true, true]);
  windows[1].take(20);
  expect(windows[2].hasRoom).toBe(false);
  windows[0].giveBack(20);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([true, false, true]);
});

test('one shard’s small replies leave the others their shares', () => {
  const { windows } = createWindows(3);
  for (let i = 0; i < 10; i++) windows[0].take(1);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, true, true]);
  windows[0].giveBack(1);
  expect(windows[0].hasRoom).toBe(true);
});

function createSession(): Session {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  return new Session(port2, new Doorbell());
}

test('what a session was sent comes back when it is acknowledged, or when the session is no more', () => {
  const { windows, cells } = createWindows(1);
  const [window] = windows;
  const [first, second] = [createSession(), createSession()];
  for (const session of [first, second, first]) window.send(session, 4);
  expect(cells[0]).toBe(12);
  expect(window.hasRoom).toBe(false);
  window.acknowledge(first, 4);
  expect(cells[0]).toBe(8);
  window.forget(first);
  expect([cells[0], window.hasRoom]).toStrictEqual([4, true]);
  expect(() => window.acknowledge(first, 1)).toThrow(InvariantError);
  window.acknowledge(second, 4);
  expect(cells[0]).toBe(0);
});

test('who waits is answered in turn, until the deadline', () => {
  const { windows, clock } = createWindows(1);
  const [window] = windows;
  const deferred = new DeferredReads(window, 1000, () => clock.ms);
  const session = createSession();
  window.take(10);
  for (const ticket of [1, 2]) deferred.defer({ session, ticket, key: 'k', kind: KIND });
  expect(deferred.isWaiting).toBe(true);
  expect(deferred.next()).toBeUndefined();
  window.giveBack(1);
  expect(deferred.next()).toMatchObject({ ticket: 1 });
  clock.ms += 1001;
  expect(deferred.next()).toBeUndefined();
  expect(deferred.isWaiting).toBe(false);
});

test('who waits is dropped with its session, and others of the same key are not', () => {
  const { windows, clock } = createWindows(1);
  const [window] = windows;
  const deferred = new DeferredReads(window, 1000, () => clock.ms);
  const [first, second] = [createSession(), createSession()];
  window.take(10);
  for (const [i, session] of [first, second, first, second].entries()) {
    deferred.defer({ session, ticket: i, key: 'k', kind: KIND });
  }
  deferred.forget(first);
  expect(deferred.take('k').map(({ ticket }) => ticket)).toStrictEqual([1, 3]);
  expect(deferred.take('k')).toStrictEqual([]);
  expect(deferred.isWaiting).toBe(false);
});
