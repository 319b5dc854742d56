import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Doorbell } from '../../src/shared/doorbell.ts';
import { RingPoller } from '../../workers/ring-poller.ts';
import { Session } from '../../workers/session.ts';

function createSession(doorbell: Doorbell): Session {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  return new Session(port2, doorbell);
}

/** @param isRung whether each poll sees a ring. */
function scene(isRung: boolean, isEnabled = true) {
  const doorbell = new Doorbell();
  doorbell.isForLoneClient = true;
  const session = createSession(doorbell);
  const polls = vi.spyOn(doorbell, 'pollForRing').mockReturnValue(isRung);
  const poller = new RingPoller(doorbell, isEnabled);
  poller.noteSender(session);
  poller.noteSender(session);
  const pollTimes = (times: number): boolean[] => Array.from({ length: times }, () => poller.poll(0));
  return { doorbell, session, poller, polls, pollTimes };
}

test('polls for a lone client only, and only if it may', () => {
  const { doorbell, polls, pollTimes } = scene(true);
  expect(pollTimes(2)).toStrictEqual([true, true]);
  doorbell.isForLoneClient = false;
  expect(pollTimes(2)).toStrictEqual([false, false]);
  expect(polls).toHaveBeenCalledTimes(2);
  expect(scene(true, false).pollTimes(2)).toStrictEqual([false, false]);
});

test('does not poll while two sessions ask, each for a lone client', () => {
  const { doorbell, session, poller, polls } = scene(true);
  const otherBell = doorbell.forAnotherSession();
  otherBell.isForLoneClient = true;
  const other = createSession(otherBell);
  for (const sender of [other, session, other, session]) {
    poller.noteSender(sender);
    expect(poller.poll(0)).toBe(false);
  }
  expect(polls).not.toHaveBeenCalled();
  poller.noteSender(session);
  expect(poller.poll(0)).toBe(true);
});

test('after eight polls in vain it polls for one message in sixteen, until one is not', () => {
  const { polls, pollTimes } = scene(false);
  pollTimes(8);
  expect(polls).toHaveBeenCalledTimes(8);
  pollTimes(32);
  expect(polls).toHaveBeenCalledTimes(10);
  polls.mockReturnValue(true);
  pollTimes(16);
  expect(polls).toHaveBeenCalledTimes(11);
  expect(pollTimes(4)).toStrictEqual([true, true, true, true]);
  expect(polls).toHaveBeenCalledTimes(15);
});
