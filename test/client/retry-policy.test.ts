import { expect, test } from 'vitest';
import { DELETE, GET, HEAD, PUT } from '../../src/api/batch-format.ts';
import { failureOf, retryDelayMs } from '../../src/client/retry-policy.ts';

test('a refusal is one; where the server may have carried the request out, that is not known', () => {
  for (const code of [
    'CACHE_ERR_BUSY',
    'CACHE_ERR_SHARD_BUSY',
    'CACHE_ERR_SHARD_UNAVAILABLE',
    'CACHE_ERR_NOT_READY',
  ]) {
    expect(failureOf(503, code), code).toBe('refused');
  }
  for (const code of [
    'CACHE_ERR_SHARD_DEADLINE',
    'CACHE_ERR_TIER_UNAVAILABLE',
    'CACHE_ERR_CLIENT_REPLY_INVALID',
  ]) {
    expect(failureOf(503, code), code).toBe('unknown');
  }
  expect(failureOf(429, 'CACHE_ERR_RATE_LIMITED')).toBe('refused');
  for (const status of [502, 504])
    expect(failureOf(status, 'CACHE_ERR_CLIENT_REPLY_INVALID')).toBe('unknown');
  for (const status of [400, 401, 403, 404, 413, 500])
    expect(failureOf(status, 'CACHE_ERR_INTERNAL')).toBeUndefined();
});

test('a write is tried again only where it has certainly not been carried out, a read always', () => {
  for (const method of [GET, HEAD] as const)
    expect(retryDelayMs(method, 'unknown', 1, 0, 0.5)).toBeGreaterThan(0);
  for (const method of [PUT, DELETE] as const) {
    expect(retryDelayMs(method, 'unknown', 1, 0, 0.5)).toBeUndefined();
    expect(retryDelayMs(method, 'refused', 1, 0, 0.5)).toBeGreaterThan(0);
    expect(retryDelayMs(method, 'not-sent', 1, 0, 0.5)).toBeGreaterThan(0);
  }
});

test('delays grow, are spread, never shorter than Retry-After, and end after six attempts', () => {
  const delays = [1, 2, 3, 4, 5, 6].map((attempts) => retryDelayMs(GET, 'refused', attempts, 0, 1));
  expect(delays).toStrictEqual([20, 60, 180, 500, 500, undefined]);
  expect(retryDelayMs(GET, 'refused', 1, 0, 0)).toBe(10);
  expect(retryDelayMs(GET, 'refused', 1, 1000, 0)).toBe(1000);
});
