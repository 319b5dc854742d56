import { expect, test } from 'vitest';
import { BOUNDS_MS, type RequestKind, RequestTimes } from '../../src/metrics/request-times.ts';

const KINDS: readonly RequestKind[] = [
  { method: 'GET', route: '/a' },
  { method: 'PUT', route: '/b' },
];

test('buckets begin at 0.1 ms and have their bounds in them', () => {
  expect(BOUNDS_MS[0]).toBe(0.1);
  expect([...BOUNDS_MS].toSorted((a, b) => a - b)).toStrictEqual([...BOUNDS_MS]);
  const times = new RequestTimes(KINDS);
  for (const ms of [0, 0.1, 0.11, 2500, 10_000, 10_001]) times.record(0, 200, ms);
  const [{ cumulative, sumMs }] = times.snapshot();
  expect(cumulative).toHaveLength(BOUNDS_MS.length + 1);
  expect(cumulative.slice(0, 2)).toStrictEqual([2, 3]);
  expect(cumulative.slice(-3)).toStrictEqual([4, 5, 6]);
  expect(sumMs).toBeCloseTo(22_501.21, 6);
});

test('each kind with each status is a series of its own', () => {
  const times = new RequestTimes(KINDS);
  for (const [kind, status] of [
    [0, 200],
    [0, 404],
    [1, 200],
    [0, 200],
    [1, 0],
  ]) {
    times.record(kind, status, 1);
  }
  const seen = times.snapshot().map(({ method, route, status, cumulative }) => ({
    method,
    route,
    status,
    requests: cumulative.at(-1),
  }));
  expect(seen).toStrictEqual([
    { method: 'GET', route: '/a', status: 200, requests: 2 },
    { method: 'GET', route: '/a', status: 404, requests: 1 },
    { method: 'PUT', route: '/b', status: 200, requests: 1 },
    { method: 'PUT', route: '/b', status: 0, requests: 1 },
  ]);
});

test('a snapshot does not change with what follows, so that two of them say what was between', () => {
  const times = new RequestTimes(KINDS);
  times.record(0, 200, 0.05);
  const [before] = times.snapshot();
  times.record(0, 200, 3);
  times.record(0, 200, 3);
  const [after] = times.snapshot();
  const between = after.cumulative.map((count, i) => count - before.cumulative[i]);
  expect(between.slice(0, 7)).toStrictEqual([0, 0, 0, 0, 0, 2, 2]);
  expect(after.sumMs - before.sumMs).toBe(6);
});
