import { expect, test } from 'vitest';
import { Purse, noHoldings } from '../../../src/http/intake/purse.ts';

function purseOf(limits: Partial<typeof LIMITS>, isHeapFull = false): Purse {
  return new Purse({
    limits: { ...LIMITS, ...limits },
    deadlineMs: 1000,
    isHeapFull: () => isHeapFull,
    nowMs: () => 0,
  });
}

const LIMITS = { requests: 100, unreadBytes: 100, bodyBytes: 100, unsentBytes: 100, adminAnswers: 2 };

test('a charge beyond the limit is counted, and said to be too much', () => {
  const purse = purseOf({});
  expect(purse.charge('unsentBytes', 100)).toBe(true);
  expect(purse.charge('unsentBytes', 1)).toBe(false);
  expect(purse.totals.unsentBytes).toBe(101);
  purse.releaseAll({ ...noHoldings(), unsentBytes: 101 });
  expect(purse.totals).toStrictEqual(noHoldings());
});

test('too many requests are the fault of connections with more than 16', () => {
  const purse = purseOf({});
  purse.charge('requests', 100);
  expect(purse.bearsRequest(50)).toBe(true);
  purse.charge('requests', 1);
  expect(purse.bearsRequest(17)).toBe(false);
  expect(purse.bearsRequest(16)).toBe(true);
});

test('the heap counts from a quarter of the requests on', () => {
  const purse = purseOf({}, true);
  purse.charge('requests', 25);
  expect(purse.bearsRequest(1)).toBe(true);
  purse.charge('requests', 1);
  expect(purse.bearsRequest(1)).toBe(false);
});

test('bodies wait while less than half of the unread bytes are taken, a quarter as many as there may be requests', () => {
  const purse = purseOf({ requests: 8 });
  purse.charge('unreadBytes', 49);
  expect(purse.bearsWaitingBody).toBe(true);
  purse.charge('unreadBytes', 1);
  expect(purse.bearsWaitingBody).toBe(false);
  purse.charge('bodyBytes', 100);
  const decisions: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    purse.bodyQueue.enter(1, true, (isGranted) => void decisions.push(`${name} ${isGranted}`));
  }
  expect(decisions).toStrictEqual(['c false']);
  purse.release('bodyBytes', 1);
  // Nobody has charged anything, so there is room for both.
  expect(decisions).toStrictEqual(['c false', 'a true', 'b true']);
});
