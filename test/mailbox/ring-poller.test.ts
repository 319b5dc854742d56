import { expect, test, vi } from 'vitest';
import { Doorbell } from '../../src/shared/doorbell.ts';
import { RingPoller } from '../../workers/ring-poller.ts';

/** @param isRung whether each poll sees a ring. */
function scene(isRung: boolean) {
  const doorbell = new Doorbell();
  doorbell.isForLoneClient = true;
  const polls = vi.spyOn(doorbell, 'pollForRing').mockReturnValue(isRung);
  const poller = new RingPoller(doorbell);
  const pollTimes = (times: number): boolean[] => Array.from({ length: times }, () => poller.poll(0));
  return { doorbell, polls, pollTimes };
}

test('polls for a lone client only', () => {
  const { doorbell, polls, pollTimes } = scene(true);
  expect(pollTimes(2)).toStrictEqual([true, true]);
  doorbell.isForLoneClient = false;
  expect(pollTimes(2)).toStrictEqual([false, false]);
  expect(polls).toHaveBeenCalledTimes(2);
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
