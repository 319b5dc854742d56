import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeMachine, type Manner } from '../support/fake-machine.ts';
import { Random, printedSeed } from '../support/random.ts';

const INTERVAL_MS = 100;
const TICKS = 400;
const RUNS = 20;
/** Ticks after which a cache that is alone with its memory must be back below the threshold. */
const RECOVERY_TICKS = 40;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('whatever memory and shards do, orders keep to the rules', async () => {
  const seed = printedSeed('supervisor simulation');
  let orders = 0;
  for (let run = 0; run < RUNS; run++) {
    const machine = await simulate(new Random(seed + run));
    orders += machine.given.length;
  }
  expect(orders).toBeGreaterThan(RUNS);
}, 120_000);

async function simulate(random: Random): Promise<FakeMachine> {
  const shedFraction = random.whole(5, 50) / 100;
  const machine = new FakeMachine({
    shards: random.whole(1, 8),
    thresholdBytes: random.whole(100_000, 10_000_000),
    baselineBytes: random.whole(1000, 50_000),
    intervalMs: INTERVAL_MS,
    shedFraction,
  });
  const room = machine.thresholdBytes - machine.baselineBytes;
  machine.manner = () => randomManner(random);
  machine.supervisor.start();
  for (let tick = 0; tick < TICKS; tick++) {
    disturb(machine, room, random);
    const checked = machine.given.length;
    await vi.advanceTimersByTimeAsync(INTERVAL_MS);
    for (let n = checked; n < machine.given.length; n++) checkOrder(machine, n, shedFraction, random.seed);
  }
  await recover(machine, random.seed);
  machine.supervisor.stop();
  return machine;
}

function randomManner(random: Random): Manner {
  const late = random.chance(0.3) ? random.whole(1, 10 * INTERVAL_MS) : 0;
  if (random.chance(0.05)) return { delayMs: late, conduct: 'dies' };
  return { delayMs: late, conduct: random.chance(0.2) ? 'lies' : 'obeys' };
}

function disturb(machine: FakeMachine, room: number, random: Random): void {
  if (random.chance(0.8)) machine.grow(random.whole(0, Math.ceil(room / 20)));
  if (random.chance(0.1)) machine.otherBytes = random.whole(0, Math.ceil(room / 2));
  if (random.chance(0.02)) machine.heldBytes[random.whole(0, machine.heldBytes.length - 1)] = 0;
  // The ceiling, which the shards keep themselves.
  const excess = machine.totalHeld / (room * 1.2);
  if (excess > 1) machine.heldBytes = machine.heldBytes.map((held) => Math.floor(held / excess));
}

function checkOrder(machine: FakeMachine, n: number, shedFraction: number, seed: number): void {
  const { orders, heldBytes, usedBytes } = machine.given[n];
  const context = `seed ${seed}, order ${n}: ${JSON.stringify(machine.given[n])}`;
  const held = heldBytes.reduce((sum, bytes) => sum + bytes, 0);
  const asked = orders.reduce((sum, bytes) => sum + bytes, 0);
  expect(machine.mostOutstanding, context).toBe(1);
  expect(usedBytes, context).toBeGreaterThan(machine.thresholdBytes);
  expect(asked, context).toBe(Math.floor(held * shedFraction));
  for (const [shard, bytes] of orders.entries()) {
    expect(Math.abs(bytes - (asked * heldBytes[shard]) / held), context).toBeLessThanOrEqual(1);
    expect(bytes, context).toBeLessThanOrEqual(heldBytes[shard]);
  }
  // Memory of others never costs the cache more than half of what it could hold, and one order.
  const floor = (machine.thresholdBytes - machine.baselineBytes) / 2;
  expect(held, context).toBeGreaterThan(floor);
}

/** Left alone, with shards that obey, memory comes back below the threshold and orders end. */
async function recover(machine: FakeMachine, seed: number): Promise<void> {
  machine.manner = () => ({ delayMs: 0, conduct: 'obeys' });
  machine.otherBytes = 0;
  await vi.advanceTimersByTimeAsync((RECOVERY_TICKS + 10) * INTERVAL_MS);
  expect(machine.outstanding, `seed ${seed}`).toBe(0);
  expect(machine.usedBytes, `seed ${seed}`).toBeLessThanOrEqual(machine.thresholdBytes);
  const ended = machine.given.length;
  const { totalHeld } = machine;
  await vi.advanceTimersByTimeAsync(100 * INTERVAL_MS);
  expect(machine.given.length, `seed ${seed}`).toBe(ended);
  expect(machine.totalHeld, `seed ${seed}`).toBe(totalHeld);
}
