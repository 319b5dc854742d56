/** Smaller bodies are not charged: the limit of requests bounds them. */
export const MIN_LARGE_BODY_BYTES = 4096;

interface Waiter {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly decide: (isGranted: boolean) => void;
}

export interface BodyQueueOptions {
  readonly hasRoomFor: (bytes: number) => boolean;
  /** A body that has waited for longer is refused. */
  readonly deadlineMs: number;
  /** When this many wait, the next is refused at once. */
  readonly maxWaiters: number;
  readonly nowMs: () => number;
}

/**
 * Bounds the memory of request bodies: a body is read from its socket only when there is room for it, first come, first
 * served. Until then the client's own send buffer holds it back.
 */
export class BodyQueue {
  private readonly options: BodyQueueOptions;
  private readonly waiters: Waiter[] = [];
  private isServing = false;

  constructor(options: BodyQueueOptions) {
    this.options = options;
  }

  get hasWaiters(): boolean {
    return this.waiters.length > 0;
  }

  /**
   * Calls `decide` once, now or later. True means that there is room; `decide` must then charge it.
   * @param mayWait whether `decide` may be called later.
   */
  enter(bytes: number, mayWait: boolean, decide: (isGranted: boolean) => void): void {
    const { hasRoomFor, maxWaiters, nowMs } = this.options;
    if (this.waiters.length === 0 && hasRoomFor(bytes)) decide(true);
    else if (mayWait && this.waiters.length < maxWaiters)
      this.waiters.push({ bytes, sinceMs: nowMs(), decide });
    else decide(false);
  }

  /** To be called when room has become free. */
  serve(): void {
    // A body that is let in may give its room back at once, which calls this again. Thousands may do so: no recursion.
    if (this.isServing) return;
    this.isServing = true;
    while (this.waiters.length > 0 && this.options.hasRoomFor(this.waiters[0].bytes)) {
      this.waiters.shift()!.decide(true);
    }
    this.isServing = false;
  }

  /** Refuses bodies that have waited past the deadline. */
  sweep(nowMs: number): void {
    const overdueBefore = nowMs - this.options.deadlineMs;
    while (this.waiters.length > 0 && this.waiters[0].sinceMs <= overdueBefore) {
      this.waiters.shift()!.decide(false);
    }
  }
}
