import { describe, expect, test } from 'vitest';
import {
  type LimitInputs,
  type Limits,
  deriveLimits,
  deriveTrafficLimits,
  frontYoungMb,
  heapFlags,
  snapshotReserve,
} from '../../src/config/memory-shares.ts';
import { Random, printedSeed } from '../support/random.ts';

const MIB = 2 ** 20;
const INPUTS: LimitInputs = {
  limitBytes: 1024 * MIB,
  threshold: 0.7,
  baselineBytes: 100 * MIB,
  shards: 3,
  fronts: 1,
  minGuaranteeBytes: 3 * MIB,
  fullGuaranteeBytes: 4 * MIB,
};

function limits(inputs: Partial<LimitInputs>): Limits {
  const derived = deriveLimits({ ...INPUTS, ...inputs });
  if (typeof derived === 'string') throw new Error(derived);
  return derived;
}

describe('deriveLimits', () => {
  test('puts the threshold at its share of the limit', () => {
    expect(limits({}).thresholdBytes).toBe(Math.floor(1024 * MIB * 0.7));
    expect(limits({ threshold: 0.5 }).thresholdBytes).toBe(512 * MIB);
  });

  test('puts the ceiling under what is half way to the limit, by the headroom and the empty process', () => {
    const { ceilingBytes } = limits({ limitBytes: 1000 * MIB, threshold: 0.7 });
    expect(Math.abs(ceilingBytes - (850 - 100 - 100) * MIB)).toBeLessThanOrEqual(1);
    // The headroom grows no further.
    const large = limits({ limitBytes: 100_000 * MIB, threshold: 0.5 });
    expect(Math.abs(large.ceilingBytes - (75_000 - 512 - 100) * MIB)).toBeLessThanOrEqual(1);
  });

  test('guarantees each shard room for the largest entry where the ceiling allows it', () => {
    expect(limits({}).guaranteeBytes).toBe(INPUTS.fullGuaranteeBytes);
    const tight = limits({ fullGuaranteeBytes: 10_000 * MIB });
    expect(tight.guaranteeBytes).toBe(Math.floor(tight.ceilingBytes / 3));
  });

  test('refuses a limit that leaves no room, and says what to change', () => {
    const derived = deriveLimits({ ...INPUTS, limitBytes: 110 * MIB });
    expect(derived).toEqual(expect.stringContaining('110 MiB'));
    expect(derived).toEqual(expect.stringContaining('100 MiB'));
    expect(derived).toMatch(/MEMORY_LIMIT.*SHARDS/);
  });

  test.each([
    ['a threshold below the empty process', { limitBytes: 135 * MIB, baselineBytes: 95 * MIB, shards: 1 }],
    ['one just above it', { limitBytes: 139 * MIB, baselineBytes: 95 * MIB, shards: 1 }],
    ['a low threshold', { threshold: 0.08 }],
  ])('%s is refused: memory that is not the cache’s would have it shed empty', (_what, inputs) => {
    expect(deriveLimits({ ...INPUTS, ...inputs })).toMatch(/too small.*MEMORY_THRESHOLD/);
  });

  test('whatever the machine: the cache cannot cross the limit, nor be kept below the threshold', () => {
    const random = new Random(printedSeed('limits'));
    let accepted = 0;
    for (let i = 0; i < 5000; i++) {
      const inputs = {
        limitBytes: random.whole(32 * MIB, 2 ** 36),
        threshold: random.whole(5, 95) / 100,
        baselineBytes: random.whole(20 * MIB, 300 * MIB),
        shards: random.whole(1, 64),
        fronts: 1,
        minGuaranteeBytes: 3 * MIB,
        fullGuaranteeBytes: random.whole(3 * MIB, 80 * MIB),
      };
      const derived = deriveLimits(inputs);
      if (typeof derived === 'string') continue;
      accepted++;
      const { baselineBytes, limitBytes, shards } = inputs;
      const context = JSON.stringify({ inputs, derived });
      expect(baselineBytes + derived.ceilingBytes, context).toBeLessThan(limitBytes);
      expect(baselineBytes + derived.ceilingBytes, context).toBeGreaterThanOrEqual(
        derived.thresholdBytes - 1,
      );
      // Nor may anything be evicted before the threshold is passed.
      expect(baselineBytes + derived.ceilingBytes - derived.marginBytes, context).toBeGreaterThanOrEqual(
        derived.thresholdBytes - 1,
      );
      expect(derived.thresholdBytes - baselineBytes, context).toBeGreaterThanOrEqual(
        inputs.minGuaranteeBytes * shards,
      );
      expect(derived.guaranteeBytes * shards, context).toBeLessThanOrEqual(derived.ceilingBytes);
      expect(derived.guaranteeBytes, context).toBeGreaterThanOrEqual(inputs.minGuaranteeBytes);
    }
    expect(accepted).toBeGreaterThan(1000);
  });
});

test('the young generation of a further HTTP thread is that of the flags, which hold for all threads', () => {
  for (const limitBytes of [128 * MIB, 256 * MIB, 1024 * MIB]) {
    const flag = heapFlags(limitBytes).find((each) => each.startsWith('--max-semi-space-size='))!;
    expect(frontYoungMb(limitBytes)).toBe(3 * Number(flag.split('=')[1]));
  }
  expect(frontYoungMb(2 ** 36)).toBe(24);
});

describe('deriveTrafficLimits', () => {
  test('shares the headroom out among bodies, replies and garbage', () => {
    // A third of what lies above the threshold: 32 MiB.
    const traffic = deriveTrafficLimits(320 * MIB, 0.7, 2);
    expect(traffic).toEqual({
      bodyBudgetBytes: Math.floor((320 * MIB * (1 - 0.7)) / 3 / 8),
      unreadBytes: Math.floor((320 * MIB * (1 - 0.7)) / 3 / 2),
      unsentBytes: Math.floor(((320 * MIB * (1 - 0.7)) / 3) * (3 / 16)),
      maxTlsConnections: 512,
      replyWindowBytes: Math.floor(traffic.bodyBudgetBytes / 2),
      collectEveryBytes: Math.floor((320 * MIB * (1 - 0.7)) / 3 / 32),
    });
    expect(Math.abs(traffic.bodyBudgetBytes - 4 * MIB)).toBeLessThan(2);
    expect(deriveTrafficLimits(320 * MIB, 0.7, 8).replyWindowBytes).toBe(
      Math.floor(traffic.bodyBudgetBytes / 8),
    );
  });

  test('does not grow with memory past what is of use', () => {
    const traffic = deriveTrafficLimits(2 ** 37, 0.7, 1);
    expect(traffic).toMatchObject({
      bodyBudgetBytes: 64 * MIB,
      unreadBytes: 256 * MIB,
      replyWindowBytes: 64 * MIB,
      collectEveryBytes: 4 * MIB,
    });
  });

  test('all of it together fits into the headroom, whatever the machine', () => {
    const random = new Random(printedSeed('traffic limits'));
    for (let i = 0; i < 1000; i++) {
      const limitBytes = random.whole(32 * MIB, 2 ** 36);
      const threshold = random.whole(5, 95) / 100;
      const shards = random.whole(1, 64);
      const fronts = random.whole(1, 8);
      const traffic = deriveTrafficLimits(limitBytes, threshold, shards, fronts);
      const { bodyBudgetBytes, unreadBytes, unsentBytes, replyWindowBytes, collectEveryBytes } = traffic;
      const bytes =
        (bodyBudgetBytes + unreadBytes + unsentBytes + collectEveryBytes) * fronts +
        replyWindowBytes * shards;
      expect(bytes, JSON.stringify({ limitBytes, threshold, shards, fronts })).toBeLessThan(
        (limitBytes * (1 - threshold)) / 3,
      );
      for (const bound of Object.values(traffic)) expect(bound).toBeGreaterThan(0);
    }
  });
});

describe('snapshotReserve', () => {
  test('is three sections, the keys that each shard may remember, its filter, and a bit for each entry', () => {
    expect(snapshotReserve(256 * MIB, 1000, 1) / MIB).toBeCloseTo(3 + 2 + 1, 2);
    expect(snapshotReserve(8192 * MIB, 8 * MIB, 4) / MIB).toBeCloseTo(24 + 8 + 32, 2);
  });
});
