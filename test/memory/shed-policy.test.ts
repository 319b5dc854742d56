import { describe, expect, test } from 'vitest';
import { type LastOrder, type Observation, apportion, decideShed } from '../../src/memory/shed-policy.ts';
import { Random, printedSeed } from '../support/random.ts';

const OVER: Observation = {
  usedBytes: 900,
  thresholdBytes: 700,
  shedFraction: 0.1,
  heldBytes: [600, 200],
  baselineBytes: 100,
};

describe('decideShed', () => {
  test('over the threshold a tenth is shed, in proportion to what each shard holds', () => {
    expect(decideShed(OVER, undefined)).toStrictEqual({ kind: 'shed', orders: [60, 20] });
  });

  test('sheds the fraction that is set', () => {
    expect(decideShed({ ...OVER, shedFraction: 0.5 }, undefined)).toMatchObject({ orders: [300, 100] });
  });

  test.each([699, 700])('at %i of a threshold of 700 nothing is shed', (usedBytes) => {
    expect(decideShed({ ...OVER, usedBytes }, undefined)).toStrictEqual({
      kind: 'wait',
      reason: 'below threshold',
    });
  });

  test('one byte over the threshold is over it', () => {
    expect(decideShed({ ...OVER, usedBytes: 701 }, undefined).kind).toBe('shed');
  });

  test('an empty shard is asked for nothing', () => {
    expect(decideShed({ ...OVER, heldBytes: [0, 800, 0] }, undefined)).toMatchObject({ orders: [0, 80, 0] });
  });

  test.each([[[0, 0]], [[5, 4]]])('holding %j, there is nothing to shed', (heldBytes) => {
    expect(decideShed({ ...OVER, heldBytes }, undefined)).toStrictEqual({
      kind: 'wait',
      reason: 'nothing held',
    });
  });

  test('an order that brought used memory down is followed by another', () => {
    const last = { usedBeforeBytes: 980, heldBeforeBytes: 880, heldAfterBytes: 800 };
    expect(decideShed(OVER, last).kind).toBe('shed');
  });

  test('an order that did not is not followed by another', () => {
    const last = { usedBeforeBytes: 900, heldBeforeBytes: 880, heldAfterBytes: 800 };
    expect(decideShed(OVER, last)).toStrictEqual({ kind: 'wait', reason: 'not ours' });
  });

  test('what was put since an order does not hide that it brought memory down', () => {
    const last = { usedBeforeBytes: 900, heldBeforeBytes: 880, heldAfterBytes: 790 };
    const refilled = { ...OVER, usedBytes: 899, heldBytes: [600, 279] };
    expect(decideShed(refilled, last).kind).toBe('shed');
  });

  test('a cache that has grown back to what it held is asked again', () => {
    const last = { usedBeforeBytes: 900, heldBeforeBytes: 800, heldAfterBytes: 720 };
    expect(decideShed({ ...OVER, usedBytes: 1000 }, last).kind).toBe('shed');
  });

  test('memory of others may not take more than half of what the cache could hold', () => {
    expect(decideShed({ ...OVER, heldBytes: [300, 0] }, undefined)).toStrictEqual({
      kind: 'wait',
      reason: 'at floor',
    });
    expect(decideShed({ ...OVER, heldBytes: [301, 0] }, undefined).kind).toBe('shed');
  });
});

describe('memory of others that stays', () => {
  const [thresholdBytes, baselineBytes] = [179_000, 96_000];
  const floorBytes = (thresholdBytes - baselineBytes) / 2;

  /** Carries out orders to the byte, one after the other, until there are no more. */
  function shedBeside(otherBytes: number, shedFraction: number): { held: number; orders: number } {
    const used = (held: number): number => baselineBytes + otherBytes + held;
    let held = 95_000;
    let last: LastOrder | undefined;
    for (let orders = 0; ; orders++) {
      const usedBytes = used(held);
      const seen = { usedBytes, thresholdBytes, baselineBytes, shedFraction, heldBytes: [held - 5000, 5000] };
      const decision = decideShed(seen, last);
      if (decision.kind === 'wait') return { held, orders };
      const [first, second] = decision.orders;
      last = { usedBeforeBytes: usedBytes, heldBeforeBytes: held, heldAfterBytes: held - first - second };
      held = last.heldAfterBytes;
    }
  }

  test.each([0.05, 0.1, 0.3])(
    'orders of %d follow one another until it is made up for, or half of the room is left',
    (shedFraction) => {
      for (let otherBytes = 0; otherBytes < 200_000; otherBytes += 977) {
        const { held, orders } = shedBeside(otherBytes, shedFraction);
        const before = held / (1 - shedFraction);
        const context = `${otherBytes} of others: ${orders} orders, ${held} left`;
        expect(held, context).toBeGreaterThan(floorBytes * (1 - shedFraction) - 1);
        const isMadeUp = baselineBytes + otherBytes + held <= thresholdBytes;
        expect(isMadeUp || held <= floorBytes, context).toBe(true);
        // The order before the last one was not enough.
        const wasDue = baselineBytes + otherBytes + before > thresholdBytes && before > floorBytes;
        if (orders > 0) expect(wasDue, context).toBe(true);
      }
    },
  );

  test('20 MiB of it beside a full cache of 95 are worth four orders of a tenth', () => {
    expect(shedBeside(20_000, 0.1).orders).toBe(4);
  });
});

describe('apportion', () => {
  test.each([
    [10, [1, 1, 1], [4, 3, 3]],
    [7, [1, 0, 1], [4, 0, 3]],
    [100, [50, 30, 20], [50, 30, 20]],
    [1, [1, 2, 3], [0, 0, 1]],
    [0, [1, 2], [0, 0]],
    [5, [0, 0], [0, 0]],
    [5, [], []],
  ])('%i by %j is %j', (total, weights, parts) => {
    expect(apportion(total, weights)).toStrictEqual(parts);
  });

  test('rounding loses nothing, and no part is off its share by one', () => {
    const random = new Random(printedSeed('apportion'));
    for (let i = 0; i < 500; i++) {
      const weights = Array.from({ length: random.whole(1, 64) }, () =>
        random.chance(0.1) ? 0 : random.whole(1, 2 ** random.whole(1, 40)),
      );
      const sum = weights.reduce((a, b) => a + b, 0);
      const total = Math.floor(sum * random.next());
      const parts = apportion(total, weights);
      const context = JSON.stringify({ total, weights, parts });
      expect(
        parts.reduce((a, b) => a + b, 0),
        context,
      ).toBe(sum === 0 ? 0 : total);
      for (const [n, part] of parts.entries()) {
        expect(Number.isInteger(part), context).toBe(true);
        expect(Math.abs(part - (total * weights[n]) / (sum || 1)), context).toBeLessThanOrEqual(1);
        expect(part, context).toBeLessThanOrEqual(weights[n]);
      }
    }
  });
});
