/**
 * Stops asking a server that does not answer. After `MAX_FAILURES` in a row calls fail at once for a while; then one batch
 * is let through, and its outcome decides whether the rest may follow. Each failed trial doubles the while.
 * After M. Nygard, Release It!, chapter 5.
 */
const MAX_FAILURES = 5;
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;

export class CircuitBreaker {
  private readonly nowMs: () => number;
  private failures = 0;
  private pauseMs = MIN_PAUSE_MS;
  private closedUntilMs = 0;
  private isTrying = false;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Whether a call may be taken. */
  get allows(): boolean {
    return this.failures < MAX_FAILURES || (!this.isTrying && this.nowMs() >= this.closedUntilMs);
  }

  /** A batch leaves. */
  begin(): void {
    if (this.failures >= MAX_FAILURES) this.isTrying = true;
  }

  succeed(): void {
    this.failures = 0;
    this.pauseMs = MIN_PAUSE_MS;
    this.isTrying = false;
  }

  fail(): void {
    this.failures++;
    // Of batches that were in flight together, each fails: only the first of them says something new.
    if (this.failures !== MAX_FAILURES && !this.isTrying) return;
    this.closedUntilMs = this.nowMs() + this.pauseMs;
    this.pauseMs = Math.min(this.pauseMs * 2, MAX_PAUSE_MS);
    this.isTrying = false;
  }
}
