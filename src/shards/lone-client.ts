import { WAIT_MS } from '../shared/doorbell.ts';
import { MIN_GATHERED_REQUESTS } from './batching.ts';

/** With one shard, it pays to busy-wait for the replies to this many requests. With more, a longer batch pays better. */
const MAX_POLLED_FOR = 3;

export interface PollingPolicy {
  /** Whether a shard busy-waits for the next request of a lone client. */
  readonly pollsForRequests: boolean;
  /** An HTTP thread busy-waits for replies while at most this many requests are in flight to a shard; 0: never. */
  readonly maxPolledFor: number;
}

/**
 * Which threads may busy-wait. With one processor, it would only keep the other thread from working. Of several shards,
 * the one that busy-waits is rarely the one that is asked next, and the others need its processor. See ADR 8. Several HTTP
 * threads may do so only while each thread has a processor.
 */
export function pollingPolicy(shards: number, processors: number, fronts = 1): PollingPolicy {
  const isCrowded = fronts > 1 && fronts + shards > processors;
  if (processors === 1 || isCrowded) return { pollsForRequests: false, maxPolledFor: 0 };
  return shards === 1
    ? { pollsForRequests: true, maxPolledFor: MAX_POLLED_FOR }
    : { pollsForRequests: false, maxPolledFor: 1 };
}

/**
 * Recognises a lone client: one that sends its next request only when it has the reply to the one before, while nobody
 * else asks (a closed loop of depth 1). Its latency is mostly wake-ups, so its requests skip the batch, and its replies
 * are worth a busy-wait. See ADR 8. Only decides; the mailbox acts. Times are those of the caller's clock.
 */
export class LoneClient {
  private readonly maxPolledFor: number;
  private lastConnection: object | undefined;
  /** The last time that two requests were in flight, or that the connection was not the one before. */
  private lastCrowdMs = -Infinity;
  /** The last time that `MIN_GATHERED_REQUESTS` or more were in flight. */
  private lastManyMs = -Infinity;
  /**
   * Send time of the oldest request, the last time a turn ended with only a few in flight; −∞ after a vain busy-wait.
   */
  private lastFewMs = -Infinity;

  constructor(maxPolledFor: number) {
    this.maxPolledFor = maxPolledFor;
  }

  /** @param inFlight requests without a reply, the new one included. */
  sent(connection: object | undefined, inFlight: number, nowMs: number): void {
    if (inFlight > 1 || connection !== this.lastConnection) this.lastCrowdMs = nowMs;
    if (inFlight >= MIN_GATHERED_REQUESTS) this.lastManyMs = nowMs;
    this.lastConnection = connection;
  }

  /** Whether all recent requests came from one client, each after the reply to the one before. */
  isAlone(inFlight: number, nowMs: number): boolean {
    return inFlight === 1 && nowMs - this.lastCrowdMs > WAIT_MS;
  }

  /**
   * Whether a request is posted at once, and not at the end of the turn: the shard then works during the rest of the turn.
   * With several clients, this would split their batch.
   */
  skipsBatch(inFlight: number, nowMs: number): boolean {
    return nowMs - this.lastFewMs < WAIT_MS && this.isAlone(inFlight, nowMs);
  }

  /**
   * To be asked at the end of each turn.
   * @returns whether to busy-wait for a reply: only a few requests, which follow others closely, so the shard is awake.
   */
  isWorthPolling(inFlight: number, oldestSentAtMs: number): boolean {
    if (inFlight === 0 || inFlight > this.maxPolledFor) return false;
    const isSoon = oldestSentAtMs - this.lastFewMs < WAIT_MS;
    this.lastFewMs = oldestSentAtMs;
    // With many clients, a few requests may be in flight for a moment. A busy-wait would then keep batches short.
    return isSoon && oldestSentAtMs - this.lastManyMs > WAIT_MS;
  }

  /** A busy-wait found no reply: do not busy-wait for the next request. */
  polledInVain(): void {
    this.lastFewMs = -Infinity;
  }
}
