import { BodyQueue } from './body-queue.ts';

/** What clients make the process hold, by kind. */
export function noHoldings() {
  return {
    /** Requests without an answer. */
    requests: 0,
    /** Bytes of bodies that have come before they may be read. */
    unreadBytes: 0,
    /** Bytes of large bodies that may be read, until their answers have left. */
    bodyBytes: 0,
    /** Bytes of small answers that cannot leave yet. */
    unsentBytes: 0,
    /** Answers of `/stats`, `/openapi.json` and the pages, which are made anew for each request. */
    adminAnswers: 0,
  };
}

export type Holdings = ReturnType<typeof noHoldings>;
export type Holding = keyof Holdings;

const HOLDINGS = Object.keys(noHoldings()) as readonly Holding[];

export interface PurseOptions {
  readonly limits: Readonly<Holdings>;
  /** A body that has waited for room for longer is refused. */
  readonly deadlineMs: number;
  readonly isHeapFull: () => boolean;
  readonly nowMs: () => number;
}

/** When there are too many requests in all, connections with this many or fewer are not closed for it. */
const FAIR_REQUESTS = 16;
/** From this share of the request limit on, the heap itself is checked too: requests can be larger than estimated. */
const HEAP_CHECK_SHARE = 1 / 4;
/** Bodies that may wait for room, as a share of the limit of requests. */
const WAITING_BODIES_SHARE = 1 / 4;
/** From this share of the limit of unread bytes on, no further body may wait for room. */
const CALM_UNREAD_SHARE = 1 / 2;

/**
 * The totals of what clients make the process hold, over all connections, and their limits. The part of each connection is
 * in its account. Only accounts charge and release here.
 */
export class Purse {
  readonly limits: Readonly<Holdings>;
  /** Bodies that wait for room. */
  readonly bodyQueue: BodyQueue;
  private readonly isHeapFull: () => boolean;
  private readonly sums = noHoldings();

  constructor({ limits, deadlineMs, isHeapFull, nowMs }: PurseOptions) {
    this.limits = limits;
    this.isHeapFull = isHeapFull;
    this.bodyQueue = new BodyQueue({
      hasRoomFor: (bytes) => this.sums.bodyBytes + bytes <= limits.bodyBytes,
      deadlineMs,
      maxWaiters: Math.floor(limits.requests * WAITING_BODIES_SHARE),
      nowMs,
    });
  }

  get totals(): Readonly<Holdings> {
    return this.sums;
  }

  /** @returns whether the total is within its limit. */
  charge(what: Holding, amount: number): boolean {
    return (this.sums[what] += amount) <= this.limits[what];
  }

  /** As `charge` for one request. Every request is charged, so this is kept as short as it can be. */
  addRequest(): void {
    this.sums.requests++;
  }

  removeRequests(count: number): void {
    this.sums.requests -= count;
  }

  release(what: Holding, amount: number): void {
    this.sums[what] -= amount;
    if (what === 'bodyBytes') this.bodyQueue.serve();
  }

  /** Takes back all that one connection held. */
  releaseAll(holds: Readonly<Holdings>): void {
    for (const what of HOLDINGS) if (holds[what] !== 0) this.release(what, holds[what]);
  }

  /** A connection has just added a request, and has `requests` of them now. @returns whether it may stay open. */
  bearsRequest(requests: number): boolean {
    const total = this.sums.requests;
    const max = this.limits.requests;
    if (total > max && requests > FAIR_REQUESTS) return false;
    return total <= max * HEAP_CHECK_SHARE || !this.isHeapFull();
  }

  /** Whether one more body may wait for room. The part of it that arrived with the head takes memory while it waits. */
  get bearsWaitingBody(): boolean {
    return this.sums.unreadBytes < this.limits.unreadBytes * CALM_UNREAD_SHARE;
  }
}
