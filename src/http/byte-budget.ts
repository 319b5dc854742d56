interface Waiter {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly decide: (isGranted: boolean) => void;
}

/**
 * Bounds the memory of request bodies: a body is read from its socket only when its bytes have been granted,
 * first come, first served. Until then the client's own send buffer holds it back.
 */
export class ByteBudget {
  private readonly totalBytes: number;
  private readonly deadlineMs: number;
  private readonly nowMs: () => number;
  private readonly waiters: Waiter[] = [];
  private grantedBytes = 0;

  /** @param deadlineMs whoever has waited for longer is refused. */
  constructor(totalBytes: number, deadlineMs: number, nowMs: () => number) {
    this.totalBytes = totalBytes;
    this.deadlineMs = deadlineMs;
    this.nowMs = nowMs;
  }

  get hasWaiters(): boolean {
    return this.waiters.length > 0;
  }

  /** What a request for `bytes` is granted: one body always fits, however large. */
  chargeFor(bytes: number): number {
    return Math.min(bytes, this.totalBytes);
  }

  /** Calls `decide` once, now or later: true when the bytes are granted, and are to be released some time. */
  acquire(bytes: number, decide: (isGranted: boolean) => void): void {
    if (this.waiters.length === 0 && this.grantedBytes + bytes <= this.totalBytes) {
      this.grantedBytes += bytes;
      decide(true);
    } else {
      this.waiters.push({ bytes, sinceMs: this.nowMs(), decide });
    }
  }

  release(bytes: number): void {
    this.grantedBytes -= bytes;
    while (this.waiters.length > 0 && this.grantedBytes + this.waiters[0].bytes <= this.totalBytes) {
      const { bytes: granted, decide } = this.waiters.shift()!;
      this.grantedBytes += granted;
      decide(true);
    }
  }

  /** Refuses whoever has waited past the deadline. To be called now and then. */
  sweep(): void {
    const overdueBefore = this.nowMs() - this.deadlineMs;
    while (this.waiters.length > 0 && this.waiters[0].sinceMs <= overdueBefore) {
      this.waiters.shift()!.decide(false);
    }
  }
}
