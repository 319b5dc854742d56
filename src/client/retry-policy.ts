import { GET, HEAD, type BatchMethod } from '../api/batch-format.ts';

/** Attempts in all, the first one included. */
const MAX_ATTEMPTS = 6;
const FIRST_DELAY_MS = 20;
/** A shard is back within 200 ms. */
const MAX_DELAY_MS = 500;

/** Why an attempt failed. */
export type Failure =
  /** Nothing reached the server. */
  | 'not-sent'
  /** The server refused before it did anything. */
  | 'refused'
  /** The server may or may not have done it. */
  | 'unknown';

/** Failures after which the request may have been carried out all the same: in a shard, in the engine behind it, or behind a proxy. */
const MAYBE_DONE: ReadonlySet<string> = new Set([
  'CACHE_ERR_SHARD_DEADLINE',
  'CACHE_ERR_TIER_UNAVAILABLE',
  'CACHE_ERR_CLIENT_REPLY_INVALID',
]);

/** Whether proxies answer so when they have no answer of the server. The server itself answers 503 only. */
export function isGateway(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** @returns undefined for an answer that stands. */
export function failureOf(status: number, code: string): Failure | undefined {
  if (status === 429) return 'refused';
  if (!isGateway(status)) return undefined;
  return MAYBE_DONE.has(code) ? 'unknown' : 'refused';
}

/**
 * Reads may always be asked again. A write only if it has certainly not been carried out: it could overwrite what another
 * client has written meanwhile.
 *
 * @param attempts made so far.
 * @param random from 0 to 1. Half of the delay is spread by it, so that clients do not come back all at once.
 * @returns ms until the next attempt, or undefined if there is none.
 */
export function retryDelayMs(
  method: BatchMethod,
  failure: Failure,
  attempts: number,
  retryAfterMs: number,
  random: number,
): number | undefined {
  const isSafe = method === GET || method === HEAD || failure !== 'unknown';
  if (!isSafe || attempts >= MAX_ATTEMPTS) return undefined;
  const delayMs = Math.min(FIRST_DELAY_MS * 3 ** (attempts - 1), MAX_DELAY_MS);
  return Math.max(retryAfterMs, delayMs * (0.5 + random / 2));
}
