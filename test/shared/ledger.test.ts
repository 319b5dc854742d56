import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { InvariantError } from '../../src/shared/assert.ts';
import { Ledger } from '../../src/shared/ledger.ts';
import { Random, printedSeed } from '../support/random.ts';
import type { LedgerRun, LedgerTally } from '../support/ledger-thread.ts';

const AMOUNTS = { ceiling: 100, guarantee: 10, unit: 1 };

describe('Ledger', () => {
  test('grants up to the ceiling less what is promised to the others', () => {
    const ledger = Ledger.create(2, AMOUNTS);
    expect(ledger.tryReserve(0, 90)).toBe(true);
    expect(ledger.tryReserve(0, 1)).toBe(false);
    expect(ledger.held(0)).toBe(90);
    expect(ledger.totalHeld()).toBe(90);
  });

  test('grants the guarantee however much the others hold', () => {
    const ledger = Ledger.create(2, AMOUNTS);
    ledger.tryReserve(0, 90);
    expect(ledger.tryReserve(1, 10)).toBe(true);
    expect(ledger.tryReserve(1, 1)).toBe(false);
    expect(ledger.totalHeld()).toBe(100);
  });

  test('what is given back can be taken by another shard', () => {
    const ledger = Ledger.create(2, AMOUNTS);
    ledger.tryReserve(0, 90);
    expect(ledger.tryReserve(1, 30)).toBe(false);
    ledger.release(0, 20);
    expect(ledger.tryReserve(1, 30)).toBe(true);
    expect([ledger.held(0), ledger.held(1)]).toStrictEqual([70, 30]);
  });

  test('counts whole units, rounded up', () => {
    const ledger = Ledger.create(1, { ceiling: 16_384, guarantee: 4096, unit: 4096 });
    expect(ledger.tryReserve(0, 4097)).toBe(true);
    expect(ledger.held(0)).toBe(8192);
    ledger.release(0, 4097);
    expect(ledger.held(0)).toBe(0);
  });

  test('takes back all that a dead shard held', () => {
    const ledger = Ledger.create(2, AMOUNTS);
    ledger.tryReserve(0, 90);
    expect(ledger.forfeit(0)).toBe(90);
    expect(ledger.held(0)).toBe(0);
    expect(ledger.tryReserve(1, 90)).toBe(true);
  });

  test('new limits hold for what is asked next', () => {
    const ledger = Ledger.create(2, AMOUNTS);
    ledger.setLimits(50, 20);
    expect([ledger.ceiling, ledger.guarantee]).toStrictEqual([50, 20]);
    expect(ledger.tryReserve(0, 31)).toBe(false);
    expect(ledger.tryReserve(0, 30)).toBe(true);
  });

  test.each([
    [undefined, 10],
    [3, 3],
    [0, 0],
    [1000, 10],
  ])('below the ceiling by a margin of %s, a sixteenth at the most, it is near', (margin, expected) => {
    const ledger = Ledger.create(1, AMOUNTS);
    ledger.setLimits(160, 10, margin);
    ledger.tryReserve(0, 160 - expected);
    expect(ledger.isTight(0)).toBe(false);
    if (expected === 0) return;
    ledger.tryReserve(0, 1);
    expect(ledger.isTight(0)).toBe(true);
  });

  test('what others are promised brings the ceiling near, but not before the margin is reached', () => {
    const ledger = Ledger.create(4, AMOUNTS);
    ledger.setLimits(160, 10, 20);
    ledger.tryReserve(0, 120);
    expect(ledger.isTight(0)).toBe(false);
    // Within a sixteenth of all it may have, with 140 of 160 held.
    ledger.tryReserve(0, 9);
    ledger.tryReserve(1, 10);
    ledger.tryReserve(2, 1);
    expect([ledger.totalHeld(), ledger.isTight(0)]).toStrictEqual([140, false]);
    ledger.tryReserve(2, 1);
    expect([ledger.totalHeld(), ledger.isTight(0)]).toStrictEqual([141, true]);
    expect(ledger.isTight(1)).toBe(false);
  });

  test('a shard that releases more than it held is a defect', () => {
    const ledger = Ledger.create(1, AMOUNTS);
    ledger.tryReserve(0, 5);
    expect(() => ledger.release(0, 6)).toThrow(InvariantError);
  });

  test('a ceiling below what the shards are promised is a defect', () => {
    expect(() => Ledger.create(3, { ceiling: 29, guarantee: 10, unit: 1 })).toThrow(InvariantError);
  });

  test('any order of taking and giving back keeps to the invariant', () => {
    const random = new Random(printedSeed('ledger'));
    const shards = 3;
    const ledger = Ledger.create(shards, AMOUNTS);
    const held = Array.from({ length: shards }, () => 0);
    for (let step = 0; step < 20_000; step++) {
      const shard = random.whole(0, shards - 1);
      const amount = random.whole(1, 25);
      if (random.chance(0.6)) {
        const others = held.reduce((sum, own, i) => (i === shard ? sum : sum + Math.max(own, 10)), 0);
        const own = held[shard] + amount;
        const fits = own <= 10 || others + own <= 100;
        expect(ledger.tryReserve(shard, amount)).toBe(fits);
        if (fits) held[shard] = own;
      } else if (held[shard] > 0) {
        const given = random.whole(1, held[shard]);
        ledger.release(shard, given);
        held[shard] -= given;
      }
      expect(held.map((_, i) => ledger.held(i))).toStrictEqual(held);
    }
  });
});

describe('Ledger between threads', () => {
  test('two threads that reserve at once never cross the ceiling together', async () => {
    const ledger = Ledger.create(2, { ceiling: 40, guarantee: 5, unit: 1 });
    const held = new Int32Array(new SharedArrayBuffer(12));
    const seed = printedSeed('ledger between threads');
    const threads = [0, 1].map((shard) => {
      const workerData: LedgerRun = {
        ledger: ledger.buffer,
        held: held.buffer,
        shard,
        seed: seed + shard,
        rounds: 1_500_000,
      };
      return new Worker(new URL('../support/ledger-thread.ts', import.meta.url), { workerData });
    });
    const tallies = await Promise.all(
      threads.map(async (thread) => {
        const [tally] = (await once(thread, 'message')) as [LedgerTally];
        await thread.terminate();
        return tally;
      }),
    );
    for (const tally of tallies) {
      expect(tally.mostTogether).toBeLessThanOrEqual(40);
      expect(tally.granted).toBeGreaterThan(0);
      expect(tally.refused).toBeGreaterThan(0);
    }
    // They did meet: at least one saw more than it could hold on its own.
    expect(Math.max(...tallies.map((tally) => tally.mostTogether))).toBeGreaterThan(35);
    expect(ledger.totalHeld()).toBe(0);
  });
});
