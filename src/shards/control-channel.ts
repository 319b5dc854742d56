import type { ControlReply, ControlRequest } from '../shared/protocol.ts';
import type { SnapshotOrder } from '../shared/snapshots.ts';

/** A control request before it has its id. */
export type ControlOrder =
  | { readonly kind: 'ping' }
  | { readonly kind: 'stats'; readonly withThread?: boolean }
  | { readonly kind: 'inspect'; readonly key: string }
  | { readonly kind: 'keys'; readonly prefix: string; readonly cursor: number }
  | { readonly kind: 'shed'; readonly shedBytes: number }
  | SnapshotOrder;

/** A shard's answer to a `stats` message. */
export type StatsReply = Extract<ControlReply, { readonly kind: 'stats' }>;

/** `figures` are at most this old. */
const MAX_FIGURES_AGE_MS = 1000;
/** A heartbeat renews figures that are older: every second one does, and may be late. */
const RENEWED_AFTER_MS = 400;
/** Heartbeats bring figures for as long after `figures` was called: longer than most wait between two scrapes. */
const WATCHED_FOR_MS = 60_000;

interface PendingControl {
  readonly resolve: (reply: ControlReply | undefined) => void;
  readonly sentAtMs: number;
  readonly hasDeadline: boolean;
}

type Post = (request: ControlRequest, handedOver?: ArrayBuffer[]) => void;

/** How long these take depends on how much there is to do. */
const WITHOUT_DEADLINE: ReadonlySet<string> = new Set<ControlOrder['kind']>(['shed', 'save', 'load']);

/** Control requests to a shard. They are rare, and their replies come in any order, so each carries an id. */
export class ControlChannel {
  private readonly post: Post;
  private readonly now: () => number;
  private readonly pending = new Map<number, PendingControl>();
  private nextId = 1;
  private isClosed = false;
  private lastHeardMs: number;
  private pingedAtMs = Infinity;
  private lastFigures: StatsReply | undefined;
  private figuresAtMs = -Infinity;
  private watchedAtMs = -Infinity;

  constructor(post: Post, now: () => number) {
    this.post = post;
    this.now = now;
    this.lastHeardMs = now();
  }

  /** @returns the shard's reply, or undefined if there is none: the shard died, or the deadline passed. */
  request(order: ControlOrder, handedOver?: ArrayBuffer[]): Promise<ControlReply | undefined> {
    if (this.isClosed) return Promise.resolve(undefined);
    const id = this.nextId++;
    return new Promise((resolve) => {
      const hasDeadline = !WITHOUT_DEADLINE.has(order.kind);
      this.pending.set(id, { resolve, sentAtMs: this.now(), hasDeadline });
      this.post({ ...order, id }, handedOver);
    });
  }

  /**
   * What the shard and its thread have done, as of the last second. While this is called now and then, heartbeats bring it:
   * so it wakes no thread. See ADR 56.
   */
  async figures(): Promise<StatsReply | undefined> {
    const nowMs = this.now();
    this.watchedAtMs = nowMs;
    if (nowMs - this.figuresAtMs <= MAX_FIGURES_AGE_MS) return this.lastFigures;
    const reply = await this.request({ kind: 'stats', withThread: true });
    return reply?.kind === 'stats' ? reply : undefined;
  }

  receive(reply: ControlReply & { readonly id: number }): void {
    if (reply.kind === 'stats' && reply.thread) {
      this.lastFigures = reply;
      this.figuresAtMs = this.now();
    }
    const control = this.pending.get(reply.id);
    this.pending.delete(reply.id);
    control?.resolve(reply);
  }

  /** The shard has sent a message of any kind: it is alive. */
  heard(): void {
    this.lastHeardMs = this.now();
  }

  /** Pings the shard, unless a ping is on its way. @returns how long it has been silent since it was pinged, in ms. */
  heartbeat(): number {
    const nowMs = this.now();
    if (this.lastHeardMs >= this.pingedAtMs) this.pingedAtMs = Infinity;
    if (this.pingedAtMs === Infinity) {
      this.pingedAtMs = nowMs;
      const bringsFigures =
        nowMs - this.watchedAtMs < WATCHED_FOR_MS && nowMs - this.figuresAtMs >= RENEWED_AFTER_MS;
      void this.request(bringsFigures ? { kind: 'stats', withThread: true } : { kind: 'ping' });
    }
    return nowMs - this.pingedAtMs;
  }

  /** Gives up requests that were sent at this time or earlier, except those without a deadline. */
  expire(overdueMs: number): void {
    for (const [id, { resolve, sentAtMs, hasDeadline }] of this.pending) {
      if (!hasDeadline || sentAtMs > overdueMs) continue;
      this.pending.delete(id);
      resolve(undefined);
    }
  }

  close(): void {
    this.isClosed = true;
    for (const { resolve } of this.pending.values()) resolve(undefined);
    this.pending.clear();
  }
}
