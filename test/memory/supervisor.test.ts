import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeMachine } from '../support/fake-machine.ts';

const INTERVAL_MS = 250;
const STARTED_MS = Date.UTC(2026, 0, 1);

let machine: FakeMachine;

beforeEach(() => {
  vi.useFakeTimers({ now: STARTED_MS });
  machine = new FakeMachine({ shards: 3, thresholdBytes: 700, baselineBytes: 100, intervalMs: INTERVAL_MS });
  machine.supervisor.start();
});

afterEach(() => {
  machine.supervisor.stop();
  expect(machine.errors).toStrictEqual([]);
  vi.useRealTimers();
});

async function ticks(count: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(count * INTERVAL_MS);
}

describe('Supervisor', () => {
  test('gives no order below the threshold, however long it looks', async () => {
    machine.heldBytes = [300, 200, 100];
    await ticks(1000);
    expect(machine.given).toStrictEqual([]);
    expect(machine.supervisor).toMatchObject({
      usedBytes: 700,
      orders: 0,
      lastReport: undefined,
      lastDecision: { kind: 'wait', reason: 'below threshold' },
    });
  });

  test('over it, asks each shard for its share of a tenth, at the next look', async () => {
    machine.heldBytes = [400, 250, 50];
    await vi.advanceTimersByTimeAsync(INTERVAL_MS - 1);
    expect(machine.given).toStrictEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(machine.given.map(({ orders }) => orders)).toStrictEqual([[40, 25, 5]]);
    expect(machine.heldBytes).toStrictEqual([360, 225, 45]);
  });

  test('goes on while that is not enough, a tenth of what is left each time', async () => {
    machine.heldBytes = [500, 500, 0];
    await ticks(20);
    const asked = machine.given.map(({ orders }) => orders.reduce((sum, bytes) => sum + bytes, 0));
    expect(asked).toStrictEqual([100, 90, 81, 72, 65]);
    expect(machine.usedBytes).toBeLessThanOrEqual(700);
  });

  test('an order without effect is forgotten once memory has been below the threshold', async () => {
    machine.heldBytes = [640, 0, 0];
    await ticks(1);
    expect(machine.given).toHaveLength(1);
    machine.otherBytes = 100;
    await ticks(2);
    expect(machine.supervisor.lastDecision).toStrictEqual({ kind: 'wait', reason: 'not ours' });
    machine.otherBytes = 0;
    await ticks(1);
    machine.otherBytes = 100;
    await ticks(1);
    expect(machine.given).toHaveLength(2);
  });

  test('reports the order it gave, and what came of it', async () => {
    machine.heldBytes = [400, 200, 40];
    machine.manner = (shard) => ({ delayMs: 100 * shard, conduct: 'obeys' });
    await ticks(2);
    expect(machine.supervisor.orders).toBe(1);
    expect(machine.supervisor.lastReport).toStrictEqual({
      atMs: STARTED_MS + INTERVAL_MS,
      askedBytes: 64,
      askedPerShard: [40, 20, 4],
      shedBytes: 64,
      shedEntries: 3,
      releasedBytes: 64,
      usedBeforeBytes: 740,
      tookMs: 200,
      longestSliceMs: 3,
    });
  });

  test('a late order blocks the next one, while memory goes on being measured', async () => {
    machine.heldBytes = [500, 500, 500];
    machine.manner = () => ({ delayMs: 60_000, conduct: 'obeys' });
    await ticks(1);
    machine.grow(300);
    await ticks(200);
    expect(machine.given).toHaveLength(1);
    expect(machine.supervisor.usedBytes).toBe(1900);
    machine.manner = () => ({ delayMs: 0, conduct: 'obeys' });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(machine.given.length).toBeGreaterThan(1);
    expect(machine.mostOutstanding).toBe(1);
  });

  test('one late shard holds up the order as a whole', async () => {
    machine.heldBytes = [500, 500, 500];
    machine.manner = (shard) => ({ delayMs: shard === 2 ? 10_000 : 0, conduct: 'obeys' });
    await ticks(30);
    expect(machine.given).toHaveLength(1);
  });

  test('a shard that dies over an order does not hold up the next', async () => {
    machine.heldBytes = [900, 900, 100];
    machine.manner = (shard) => ({ delayMs: 10, conduct: shard === 2 ? 'dies' : 'obeys' });
    await ticks(2);
    expect(machine.given).toHaveLength(2);
    expect(machine.given[1].orders).toStrictEqual([81, 81, 0]);
  });

  test('reports nothing shed if every shard has died', async () => {
    machine.heldBytes = [900, 900, 100];
    machine.manner = () => ({ delayMs: 0, conduct: 'dies' });
    await ticks(5);
    expect(machine.given).toHaveLength(1);
    expect(machine.supervisor.lastReport).toMatchObject({ shedBytes: 0, shedEntries: 0, longestSliceMs: 0 });
  });

  test('memory that stays flat for another reason does not empty the cache', async () => {
    machine.heldBytes = [200, 200, 200];
    machine.otherBytes = 300;
    const before = machine.totalHeld;
    await vi.advanceTimersByTimeAsync(1);
    // Something else takes what the shards give back: used memory never falls.
    for (let tick = 0; tick < 1000; tick++) {
      machine.otherBytes += before - machine.totalHeld - (machine.otherBytes - 300);
      await ticks(1);
    }
    expect(machine.given).toHaveLength(1);
    expect(machine.totalHeld).toBe(before - 60);
    expect(machine.supervisor.lastDecision).toStrictEqual({ kind: 'wait', reason: 'not ours' });
  });

  test('memory of others that keeps rising does not empty the cache either', async () => {
    machine.heldBytes = [200, 200, 200];
    for (let tick = 0; tick < 1000; tick++) {
      machine.otherBytes += 50;
      machine.grow(6);
      await ticks(1);
      expect(machine.totalHeld).toBeGreaterThan(0.4 * 600);
    }
  });

  test('does not oscillate: under a steady stream of PUTs it sheds what was put, and no more', async () => {
    machine = new FakeMachine({ shards: 4, thresholdBytes: 70_000, baselineBytes: 10_000 });
    machine.supervisor.start();
    let put = 0;
    const seen: number[] = [];
    for (let tick = 0; tick < 2000; tick++) {
      machine.grow(400);
      put += 400;
      await ticks(1);
      if (tick > 500) seen.push(machine.totalHeld);
    }
    // Each order sheds a tenth, which is filled again before the next one.
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(0.9 * 60_000 - 400);
    expect(Math.max(...seen)).toBeLessThanOrEqual(60_000 + 400);
    const shed = machine.given.reduce((sum, { orders }) => sum + orders.reduce((a, b) => a + b, 0), 0);
    expect(shed).toBe(put - machine.totalHeld);
    for (const [n, order] of machine.given.entries()) {
      if (n > 0) expect(order.atMs - machine.given[n - 1].atMs).toBeGreaterThan(10 * INTERVAL_MS);
    }
  });

  test('reports memory pressure once when it begins and once when it has ended, however many orders it takes', async () => {
    for (let tick = 0; tick < 200; tick++) {
      machine.grow(30);
      await ticks(1);
    }
    expect(machine.given.length).toBeGreaterThan(20);
    expect(machine.pressures.map(({ kind, isOn }) => [kind, isOn])).toStrictEqual([['threshold', true]]);
    machine.isAtCeiling = true;
    await ticks(3);
    machine.isAtCeiling = false;
    machine.heldBytes = [0, 0, 0];
    await ticks(100);
    expect(machine.pressures.map(({ kind, isOn }) => [kind, isOn])).toStrictEqual([
      ['threshold', true],
      ['ceiling', true],
      ['threshold', false],
      ['ceiling', false],
    ]);
    expect(machine.pressures.at(-1)!.lastedMs).toBe(2 * INTERVAL_MS);
  });

  test('once stopped, gives no more orders', async () => {
    machine.supervisor.stop();
    machine.heldBytes = [900, 900, 900];
    await ticks(100);
    expect(machine.given).toStrictEqual([]);
  });
});
