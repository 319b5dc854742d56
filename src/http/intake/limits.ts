import { getHeapStatistics } from 'node:v8';
import { collectAll } from '../fast/node-internals.ts';
import type { DoorLimits } from './front-door.ts';
import type { Holdings } from './purse.ts';

export interface TrafficBytes {
  /** Bytes of large request bodies that are held at once. */
  readonly bodyBudgetBytes: number;
  /** Bytes of bodies that have come before there is room for them. */
  readonly unreadBytes: number;
  /** Bytes of small answers that cannot leave yet. */
  readonly unsentBytes: number;
  /** How many HTTP threads there are: each has its share of what the process may hold. */
  readonly fronts: number;
}

/** What a small request takes of the heap, with its reply. */
const REQUEST_BYTES = 8 * 2 ** 10;
/** What a connection takes of the heap: 16 KiB of a request's head may have come. */
const CONNECTION_BYTES = 24 * 2 ** 10;
/** Share of the heap in use from which on no more requests are taken from connections. */
const FULL_HEAP_SHARE = 0.8;
const MAX_REQUESTS = 2 ** 16;
const MAX_ADMIN_ANSWERS = 16;

/**
 * Connections beyond the limit, for probes. A probe gives its place back in a moment. With TLS it takes longer: some
 * round trips, and the time that the client computes. So there are more places with TLS. Their number is a share of the
 * limit, because each TLS connection takes much memory.
 */
const RESERVE = 64;
const TLS_RESERVE_SHARE = 1 / 4;
const MAX_TLS_RESERVE = 256;
const MAX_WAITING = 64;

/** A client that takes nothing of its answer for this long is cut off. */
const STALLED_TIMEOUT_MS = 30_000;

/** Requests take half of the heap that is free now, on all HTTP threads together. Those all have heaps of the same size. */
export function deriveHoldings(traffic: TrafficBytes): Holdings {
  const { bodyBudgetBytes, unreadBytes, unsentBytes, fronts } = traffic;
  // The garbage of the start would count as used heap: at 256 MiB that would cost 30 connections.
  collectAll();
  const { heap_size_limit: limit, used_heap_size: used } = getHeapStatistics();
  const all = Math.min(Math.floor((limit - used) / 2 / REQUEST_BYTES), MAX_REQUESTS);
  const requests = Math.max(1, Math.floor(all / fronts));
  const adminAnswers = Math.ceil(MAX_ADMIN_ANSWERS / fronts);
  return { requests, unreadBytes, bodyBytes: bodyBudgetBytes, unsentBytes, adminAnswers };
}

/**
 * @param maxRequests,maxTlsConnections of this HTTP thread. The latter is undefined without TLS.
 * @param fronts how many HTTP threads there are.
 */
export function deriveDoorLimits(
  maxRequests: number,
  maxTlsConnections: number | undefined,
  fronts: number,
): DoorLimits {
  const waiting = Math.ceil(MAX_WAITING / fronts);
  // Each may hold the head of a request that is not whole; with TLS it holds much more, outside the heap.
  const byHeap = Math.floor((maxRequests * REQUEST_BYTES) / CONNECTION_BYTES);
  if (maxTlsConnections === undefined) {
    const reserve = Math.ceil(RESERVE / fronts);
    return { maxConnections: byHeap, reserve, waiting, stalledTimeoutMs: STALLED_TIMEOUT_MS };
  }
  const maxConnections = Math.min(byHeap, maxTlsConnections);
  const maxReserve = Math.ceil(MAX_TLS_RESERVE / fronts);
  const reserve = Math.min(Math.ceil(maxConnections * TLS_RESERVE_SHARE), maxReserve);
  return { maxConnections, reserve, waiting, stalledTimeoutMs: STALLED_TIMEOUT_MS };
}

export function isHeapFull(): boolean {
  const { heap_size_limit: limit, used_heap_size: used } = getHeapStatistics();
  return used > limit * FULL_HEAP_SHARE;
}
