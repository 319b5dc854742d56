/** Smaller bodies are not counted: the number of requests in flight bounds them. */
export const LEAST_COUNTED_BYTES = 4096;

interface Waiter {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly decide: (isGranted: boolean) => void;
}

export interface BudgetOptions {
  readonly totalBytes: number;
  /** Whoever has waited for longer is refused. */
  readonly deadlineMs: number;
  /** More than these do not wait: the next is refused at once. */
  readonly mostWaiters: number;
  readonly nowMs: () => number;
}

/**
 * Bounds the memory of request bodies: a body is read from its socket only when its bytes have been granted,
 * first come, first served. Until then the client's own send buffer holds it back.
 */
export class ByteBudget {
  private readonly options: BudgetOptions;
  private readonly waiters: Waiter[] = [];
  private grantedBytes = 0;
  private isGranting = false;

  constructor(options: BudgetOptions) {
    this.options = options;
  }

  get hasWaiters(): boolean {
    return this.waiters.length > 0;
  }

  /** What a request for `bytes` is granted: one body always fits, however large. */
  chargeFor(bytes: number): number {
    return Math.min(bytes, this.options.totalBytes);
  }

  /**
   * Calls `decide` once, now or later: true when the bytes are granted, and are to be released some time.
   * @param mayWait whether it may be later.
   */
  acquire(bytes: number, mayWait: boolean, decide: (isGranted: boolean) => void): void {
    const { mostWaiters, nowMs } = this.options;
    if (this.waiters.length === 0 && this.hasRoomFor(bytes)) {
      this.grantedBytes += bytes;
      decide(true);
    } else if (mayWait && this.waiters.length < mostWaiters) {
      this.waiters.push({ bytes, sinceMs: nowMs(), decide });
    } else {
      decide(false);
    }
  }

  release(bytes: number): void {
    this.grantedBytes -= bytes;
    // Who is granted bytes may release them at once, and thousands may: none of them from within the other.
    if (this.isGranting) return;
    this.isGranting = true;
    while (this.waiters.length > 0 && this.hasRoomFor(this.waiters[0].bytes)) {
      const { bytes: granted, decide } = this.waiters.shift()!;
      this.grantedBytes += granted;
      decide(true);
    }
    this.isGranting = false;
  }

  /** Refuses whoever has waited past the deadline. To be called now and then. */
  sweep(): void {
    const { deadlineMs, nowMs } = this.options;
    const overdueBefore = nowMs() - deadlineMs;
    while (this.waiters.length > 0 && this.waiters[0].sinceMs <= overdueBefore) {
      this.waiters.shift()!.decide(false);
    }
  }

  private hasRoomFor(bytes: number): boolean {
    return this.grantedBytes + bytes <= this.options.totalBytes;
  }
}
