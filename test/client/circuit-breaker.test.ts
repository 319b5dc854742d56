import { beforeEach, expect, test } from 'vitest';
import { CircuitBreaker } from '../../src/client/circuit-breaker.ts';

let nowMs = 0;
let breaker: CircuitBreaker;

beforeEach(() => {
  nowMs = 1000;
  breaker = new CircuitBreaker(() => nowMs);
});

function fail(times: number): void {
  for (let i = 0; i < times; i++) breaker.begin();
  for (let i = 0; i < times; i++) breaker.fail();
}

/** How long it allows nothing, at most 10 s. */
function pauseMs(): number {
  const beganMs = nowMs;
  while (!breaker.allows && nowMs < beganMs + 10_000) nowMs += 10;
  return nowMs - beganMs;
}

test('allows calls until five batches in a row have failed', () => {
  fail(4);
  expect(breaker.allows).toBe(true);
  breaker.succeed();
  fail(4);
  expect(breaker.allows).toBe(true);
  fail(1);
  expect(breaker.allows).toBe(false);
});

test('each failed trial doubles the pause, to 5 s; a success ends it', () => {
  fail(5);
  const pauses: number[] = [];
  for (let i = 0; i < 8; i++) {
    pauses.push(pauseMs());
    fail(1);
  }
  expect(pauses).toStrictEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  pauseMs();
  breaker.begin();
  breaker.succeed();
  expect(breaker.allows).toBe(true);
  fail(5);
  expect(pauseMs()).toBe(100);
});

test('while a trial is under way nothing else is allowed', () => {
  fail(5);
  pauseMs();
  breaker.begin();
  expect(breaker.allows).toBe(false);
  breaker.fail();
  expect(pauseMs()).toBe(200);
});

test('batches that were in flight together fail as one: the pause is no longer for that', () => {
  fail(9);
  expect(pauseMs()).toBe(100);
  // So it is with several that leave in the turn of a trial.
  fail(4);
  expect(pauseMs()).toBe(200);
});
