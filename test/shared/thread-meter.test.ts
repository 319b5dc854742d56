import { expect, onTestFinished, test, vi } from 'vitest';
import { ThreadMeter } from '../../src/shared/thread-meter.ts';

function meter(nowMs = () => performance.now()): ThreadMeter {
  const one = new ThreadMeter(nowMs);
  onTestFinished(() => one.stop());
  return one;
}

function busyWait(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

test('says how long the thread was active, idle, and on a processor', async () => {
  const subject = meter();
  const before = subject.read();
  busyWait(60);
  await new Promise((resolve) => setTimeout(resolve, 60));
  const after = subject.read();
  expect(after.processorMs - before.processorMs).toBeGreaterThan(10);
  expect(after.activeMs - before.activeMs).toBeGreaterThanOrEqual(55);
  expect(after.idleMs).toBeGreaterThan(before.idleMs);
});

test('samples nothing before somebody asks', () => {
  const subject = meter();
  expect(subject.isSampling).toBe(false);
  subject.read();
  expect(subject.isSampling).toBe(true);
});

test('counts delays of the event loop', async () => {
  const subject = meter();
  subject.read();
  await expect.poll(() => subject.read().delays.cumulative.at(-1)).toBeGreaterThan(0);
  busyWait(200);
  // At least 150 ms late: past the bound of 100 ms.
  await expect
    .poll(() => {
      const { cumulative } = subject.read().delays;
      return cumulative.at(-1)! - cumulative.at(-3)!;
    })
    .toBeGreaterThan(0);
  expect(subject.read().delays.sumMs).toBeGreaterThan(100);
});

test('counts pauses of the collector', async () => {
  const subject = meter();
  subject.read();
  let garbage: unknown;
  for (let i = 0; i < 10; i++) garbage = Array.from({ length: 100_000 }, (_, n) => ({ n }));
  expect(garbage).toBeDefined();
  await expect.poll(() => subject.read().pauses.cumulative.at(-1)).toBeGreaterThan(0);
  expect(subject.read().pauses.sumMs).toBeGreaterThan(0);
});

test('stops sampling when nobody has asked for long', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const subject = meter(Date.now);
  subject.read();
  vi.advanceTimersByTime(149_000);
  expect(subject.isSampling).toBe(true);
  vi.advanceTimersByTime(2000);
  expect(subject.isSampling).toBe(false);
  subject.read();
  expect(subject.isSampling).toBe(true);
});
