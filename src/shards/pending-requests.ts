import { assert } from '../shared/assert.ts';
import { OVERDUE, freePayload } from '../shared/protocol.ts';
import type { ReplyPayload } from '../shared/reply-memory.ts';
import type { LargeRead } from './large-read.ts';

/** A request that waits for its reply. */
export interface PendingRequest {
  /** The connection that the request came on: it tells a lone client from several. */
  readonly connection: object | undefined;
  /**
   * Called exactly once, with a reply code of the protocol. The payload is as it crossed: a count has four bytes.
   * @param delivered must be called when nobody holds the payload any more; given with large payloads only.
   * @param head of the reply to a raw request, for `decodeHead`.
   * @param largeRead of a value that comes in pieces: it is read to its end, or cancelled.
   */
  settle(
    code: number,
    payload: ReplyPayload,
    delivered?: () => void,
    head?: string,
    largeRead?: LargeRead,
  ): void;
}

/** Stands in for a request that was settled before its reply came. It drops the reply. */
const SETTLED: PendingRequest = {
  connection: undefined,
  settle: (_code, payload, delivered, _head, largeRead) => {
    largeRead?.cancel();
    freePayload(payload);
    delivered?.();
  },
};

/** A request whose reply follows later, under its ticket. */
interface DeferredReply {
  readonly pending: PendingRequest;
  readonly sentAtMs: number;
  /** True if the reply waits for room in the shard's reply window, false if it is being made. */
  readonly waitsForRoom: boolean;
}

/**
 * The requests of one mailbox that have no reply yet. Replies come in the order of the requests, so these stand in a
 * ring:
 *
 *     oldest ──► [ settled | pending | pending | … | pending ] ◄── newest
 *
 * If the shard defers a reply, its request leaves the ring and waits under the ticket of the reply.
 */
export class PendingRequests {
  private readonly ring: PendingRequest[];
  private readonly sentAtMs: Float64Array;
  /** How many requests of clients each stands for. */
  private readonly sizes: Uint16Array;
  private readonly mask: number;
  private readonly deferred = new Map<number, DeferredReply>();
  /** The sum of the sizes in the ring. */
  private size = 0;
  /** Counts of all requests ever: put into the ring, posted to the shard, replied to, checked for their deadline. */
  private tracked = 0;
  private posted = 0;
  private replied = 0;
  private checked = 0;

  /** @param limit most requests in the ring. */
  constructor(limit: number) {
    const size = 2 ** Math.ceil(Math.log2(limit));
    this.ring = Array.from({ length: size }, () => SETTLED);
    this.sentAtMs = new Float64Array(size);
    this.sizes = new Uint16Array(size);
    this.mask = size - 1;
  }

  /** Requests in the ring: the shard has not replied to them, not even to say that the reply follows later. */
  get unanswered(): number {
    return this.tracked - this.replied;
  }

  /** A client's batch counts as its requests. */
  get inFlight(): number {
    return this.size + this.deferred.size;
  }

  /** True while the shard has replied to everything that was posted. */
  get isIdle(): boolean {
    return this.replied === this.posted;
  }

  /** When the oldest request in the ring was sent. */
  get oldestSentAtMs(): number {
    return this.sentAtMs[this.replied & this.mask];
  }

  /** True while replies wait for room in the shard's reply window. */
  get awaitsReplyRoom(): boolean {
    for (const { waitsForRoom } of this.deferred.values()) if (waitsForRoom) return true;
    return false;
  }

  /** @param size how many requests of clients it stands for. */
  track(pending: PendingRequest, sentAtMs: number, size = 1): void {
    const place = this.tracked++ & this.mask;
    this.ring[place] = pending;
    this.sentAtMs[place] = sentAtMs;
    this.sizes[place] = size;
    this.size += size;
  }

  /** All requests in the ring have been posted. */
  markPosted(): void {
    this.posted = this.tracked;
  }

  /** Takes the oldest request out of the ring. */
  next(): PendingRequest {
    assert(this.replied < this.tracked, 'a shard replies to no more than it was sent');
    const place = this.replied++ & this.mask;
    const pending = this.ring[place];
    this.ring[place] = SETTLED;
    this.size -= this.sizes[place];
    return pending;
  }

  /** Moves the oldest request out of the ring: its reply follows under `ticket`. */
  deferNext(ticket: number, waitsForRoom: boolean): void {
    const sentAtMs = this.oldestSentAtMs;
    this.deferred.set(ticket, { pending: this.next(), sentAtMs, waitsForRoom });
  }

  takeDeferred(ticket: number): PendingRequest {
    const pending = this.deferred.get(ticket)?.pending ?? SETTLED;
    this.deferred.delete(ticket);
    return pending;
  }

  /** Settles the requests that were sent at this time or earlier. */
  expire(overdueMs: number): void {
    if (this.checked < this.replied) this.checked = this.replied;
    while (this.checked < this.tracked && this.sentAtMs[this.checked & this.mask] <= overdueMs) {
      const place = this.checked++ & this.mask;
      const pending = this.ring[place];
      this.ring[place] = SETTLED;
      pending.settle(OVERDUE, '');
    }
    for (const [ticket, { pending, sentAtMs }] of this.deferred) {
      if (sentAtMs > overdueMs) break;
      this.deferred.delete(ticket);
      pending.settle(OVERDUE, '');
    }
  }

  settleAll(code: number): void {
    while (this.replied < this.tracked) this.next().settle(code, '');
    for (const { pending } of this.deferred.values()) pending.settle(code, '');
    this.deferred.clear();
  }
}
