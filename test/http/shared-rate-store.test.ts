import { describe, expect, test } from 'vitest';
import { SharedRateStore, createRateCells } from '../../src/http/shared-rate-store.ts';

const WINDOW_MS = 1000;

interface Count {
  readonly current: number;
  readonly ttl: number;
}

function count(store: SharedRateStore, client: string): Count {
  let counted: Count | undefined;
  store.incr(client, (_error, result) => (counted = { ...result }), WINDOW_MS);
  return counted!;
}

/** Two threads' stores over the same cells, and their common clock. */
function createStores(startMs = 5000) {
  const clock = { ms: startMs };
  const cells = createRateCells();
  const [one, other] = [0, 1].map(() => new SharedRateStore(cells, () => clock.ms));
  return { clock, one, other };
}

describe('rates that several threads count together', () => {
  test('are sums over the threads, for each client', () => {
    const { one, other } = createStores();
    expect(count(one, 'a').current).toBe(1);
    expect(count(other, 'a').current).toBe(2);
    expect(count(one, 'b').current).toBe(1);
    expect(count(one, 'a').current).toBe(3);
  });

  test('begin anew with each window, whichever thread sees its end', () => {
    const { one, other, clock } = createStores();
    expect(count(one, 'a')).toStrictEqual({ current: 1, ttl: WINDOW_MS });
    clock.ms += 400;
    expect(count(other, 'a')).toStrictEqual({ current: 2, ttl: 600 });
    clock.ms += 600;
    expect(count(other, 'a')).toStrictEqual({ current: 1, ttl: WINDOW_MS });
    expect(count(one, 'a')).toStrictEqual({ current: 2, ttl: WINDOW_MS });
  });

  test('take no harm where the low 32 bits of the clock begin anew, or threads read it in another order', () => {
    const { one, other, clock } = createStores(2 ** 32 - 200);
    expect(count(one, 'a').current).toBe(1);
    clock.ms += 400;
    expect(count(other, 'a')).toStrictEqual({ current: 2, ttl: 600 });
    clock.ms -= 500;
    expect(count(one, 'a').current).toBe(3);
    clock.ms += 1200;
    expect(count(one, 'a').current).toBe(1);
  });

  test.each([1, 24, 25, 40, 49])('begin anew for a client that comes back after %i days', (days) => {
    const { one, clock } = createStores();
    for (let i = 1; i <= 3; i++) expect(count(one, 'a').current).toBe(i);
    clock.ms += days * 24 * 60 * 60 * 1000;
    expect(count(one, 'a')).toStrictEqual({ current: 1, ttl: WINDOW_MS });
  });

  test('are kept for 10,000 clients, all but a few; of too many, those counted for longest are forgotten', () => {
    const { one, clock } = createStores();
    for (let i = 0; i < 10_000; i++) count(one, `10.0.${i >> 8}.${i & 255}`);
    let known = 0;
    for (let i = 0; i < 10_000; i++) known += count(one, `10.0.${i >> 8}.${i & 255}`).current - 1;
    expect(known).toBeGreaterThan(9_000);
    clock.ms += 10;
    for (let i = 0; i < 200_000; i++) count(one, `2001:db8::${i}`);
    clock.ms += 10;
    expect(count(one, 'new').current).toBe(1);
    expect(count(one, 'new').current).toBe(2);
  });
});
