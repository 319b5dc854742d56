import { describe, expect, test } from 'vitest';
import { quantilesBetween } from '../../src/dashboard/quantiles.ts';
import { type Reading, type Stats, sampleOf } from '../../src/dashboard/samples.ts';
import { RefusalCounts } from '../../src/metrics/refusals.ts';
import { NO_STATUS, RequestTimes } from '../../src/metrics/request-times.ts';

const MEMORY = { limitBytes: 100, thresholdBytes: 70, ceilingBytes: 80, usedBytes: 50, heldBytes: 30 };
const IDLE = { shard: 0, state: 'up', inFlight: 0 };
const COUNTED = {
  entries: 4,
  liveBytes: 10,
  reservedBytes: 16,
  hits: 0,
  misses: 0,
  puts: 0,
  deletes: 0,
  evicted: 0,
  shedEntries: 0,
  expired: 0,
};

function reading(atMs: number, ...shards: readonly Partial<Stats['shards'][number]>[]): Reading {
  const rows = shards.map((row, shard) => Object.assign({}, IDLE, { shard }, row));
  return {
    atMs,
    times: [],
    stats: { uptimeSeconds: 7, shards: rows, memory: MEMORY, refusals: new RefusalCounts().refusals },
  };
}

describe('a sample', () => {
  test('has no rates without a reading before', () => {
    const sample = sampleOf(reading(1000, { ...COUNTED, hits: 3, misses: 1, inFlight: 2 }), undefined, []);
    expect(sample).toStrictEqual({
      atMs: 1000,
      uptimeSeconds: 7,
      memory: MEMORY,
      rates: null,
      gone: null,
      hitRatio: null,
      totalHitRatio: 0.75,
      latencyMs: null,
      tier: null,
      shards: [
        { shard: 0, state: 'up', inFlight: 2, entries: 4, liveBytes: 10, reservedBytes: 16, hitRatio: 0.75 },
      ],
      events: [],
    });
  });

  test('has what happened in each second since the one before', () => {
    const before = reading(1000, COUNTED, { ...COUNTED, hits: 100 });
    const after = reading(
      3000,
      { ...COUNTED, hits: 30, misses: 10, puts: 8, evicted: 6 },
      { ...COUNTED, hits: 100, deletes: 2, shedEntries: 5, expired: 1 },
    );
    Object.assign(before.stats.refusals, { shard_busy: 5, connections: 7 });
    Object.assign(after.stats.refusals, { shard_busy: 9, connections: 7, rate_limit: 20 });
    const sample = sampleOf(after, before, []);
    const refusedBy = { shard_busy: 2, rate_limit: 10 };
    expect(sample.rates).toStrictEqual({ get: 20, put: 4, delete: 1, refused: 12, refusedBy });
    expect(sample.gone).toStrictEqual({ evicted: 6, shed: 5, expired: 1 });
    expect([sample.hitRatio, sample.totalHitRatio]).toStrictEqual([0.75, 130 / 140]);
  });

  test('of a second without a read has no hit ratio', () => {
    const before = reading(1000, { ...COUNTED, hits: 5 });
    expect(sampleOf({ ...before, atMs: 2000 }, before, []).hitRatio).toBeNull();
  });

  test('a shard that was replaced counts from zero, one that does not answer not at all', () => {
    const before = reading(
      1000,
      { ...COUNTED, puts: 500 },
      { ...COUNTED, puts: 500 },
      { state: 'restarting' },
    );
    const after = reading(2000, { ...COUNTED, puts: 3 }, { state: 'restarting' }, { ...COUNTED, puts: 90 });
    const sample = sampleOf(after, before, []);
    expect(sample.rates!.put).toBe(3);
    expect(sample.shards[1]).toMatchObject({
      state: 'restarting',
      entries: 0,
      reservedBytes: 0,
      hitRatio: null,
    });
  });
});

describe('with an engine behind the shards, a sample', () => {
  const NODES = [{ address: '10.0.0.1:6379', isUp: true }];
  const withTier = (
    one: Reading,
    counts: Partial<Record<'nearHits' | 'hits' | 'misses' | 'invalidations', number>>,
  ): Reading => {
    const tier = { nearHits: 0, hits: 0, misses: 0, invalidations: 0, nodes: NODES, ...counts };
    return { ...one, stats: { ...one.stats, tier } };
  };

  test('has what was found near and there, and its nodes', () => {
    const before = withTier(reading(1000, { ...COUNTED, hits: 10, misses: 10 }), {
      nearHits: 10,
      hits: 6,
      misses: 4,
    });
    const row = { ...COUNTED, hits: 14, misses: 18 };
    const after = withTier(reading(3000, row), { nearHits: 14, hits: 12, misses: 6, invalidations: 20 });
    const { tier, hitRatio, totalHitRatio } = sampleOf(after, before, []);
    const rates = { nearHits: 2, hits: 3, misses: 1, invalidations: 10 };
    expect(tier).toStrictEqual({ rates, nodes: NODES });
    // Four near, six there; two nowhere.
    expect([hitRatio, totalHitRatio]).toStrictEqual([10 / 12, 26 / 32]);
    expect(sampleOf(before, undefined, []).tier).toStrictEqual({ rates: null, nodes: NODES });
  });

  test('has no rates where a shard did not answer, and none below zero', () => {
    const both = withTier(reading(1000, COUNTED, COUNTED), { hits: 200 });
    const one = withTier(reading(2000, COUNTED, { state: 'restarting' }), { hits: 100 });
    const replaced = withTier(reading(3000, COUNTED, COUNTED), { hits: 101 });
    expect(sampleOf(one, both, []).tier!.rates).toBeNull();
    expect(sampleOf(replaced, one, []).tier!.rates).toBeNull();
    expect(sampleOf(replaced, both, []).tier!.rates!.hits).toBe(0);
  });
});

describe('latency', () => {
  const KINDS = [
    { method: 'GET', route: '/cache/:key' },
    { method: 'PUT', route: '/cache' },
    { method: 'GET', route: '/stats' },
    { method: 'GET', route: '/dashboard/entry' },
    { method: 'other', route: 'unmatched' },
    { method: 'PUT', route: '/kv/*' },
    { method: 'GET', route: '/v8/*' },
    { method: 'POST', route: '/batch' },
  ];

  test('is told of the requests between two snapshots, of all data routes together', () => {
    const times = new RequestTimes(KINDS);
    for (let i = 0; i < 1000; i++) times.record(0, 200, 900);
    const before = times.snapshot();
    for (let i = 0; i < 50; i++) times.record(0, 200, 0.2);
    for (let i = 0; i < 40; i++) times.record(1, 201, 2);
    for (let i = 0; i < 10; i++) times.record(5, 200, 7);
    const { p50, p95, p99 } = quantilesBetween(before, times.snapshot())!;
    expect(p50).toBeCloseTo(0.25);
    expect(p95).toBeCloseTo(7.5);
    expect(p99).toBeCloseTo(9.5);
  });

  test('of pages, and of clients that went, says nothing of the cache', () => {
    const times = new RequestTimes(KINDS);
    times.record(2, 200, 5);
    times.record(3, 200, 5);
    times.record(4, 404, 5);
    times.record(0, NO_STATUS, 5);
    expect(quantilesBetween([], times.snapshot())).toBeUndefined();
    expect(quantilesBetween([], [])).toBeUndefined();
  });

  test('of refusals is left out, that of build tools and batches is not', () => {
    const times = new RequestTimes(KINDS);
    for (let i = 0; i < 100; i++) times.record(0, i % 2 === 0 ? 429 : 503, 0.05);
    for (const kind of [5, 6, 7]) times.record(kind, 200, 7);
    expect(quantilesBetween([], times.snapshot())!.p50).toBeCloseTo(7.5);
  });

  test('past the last bound is at least that', () => {
    const times = new RequestTimes(KINDS);
    times.record(0, 200, 60_000);
    expect(quantilesBetween([], times.snapshot())).toStrictEqual({ p50: 10_000, p95: 10_000, p99: 10_000 });
  });
});
