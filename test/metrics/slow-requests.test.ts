import { expect, test } from 'vitest';
import { SlowRequests } from '../../src/metrics/slow-requests.ts';

const KIND = { method: 'GET', route: '/cache/{key}' };

test('one slow request a second is told of, and how many there were beside it', () => {
  const slow = new SlowRequests();
  expect(slow.notice(KIND, 200, 99.9, 0)).toBeUndefined();
  expect(slow.notice(KIND, 200, 100, 0)).toStrictEqual({ ...KIND, status: 200, tookMs: 100, others: 0 });
  for (const nowMs of [1, 500, 999]) expect(slow.notice(KIND, 503, 1000, nowMs)).toBeUndefined();
  expect(slow.notice(KIND, 503, 1000, 1000)).toMatchObject({ status: 503, others: 3 });
  expect(slow.notice(KIND, 503, 1000, 5000)).toMatchObject({ others: 0 });
});
