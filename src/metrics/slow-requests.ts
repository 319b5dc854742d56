import type { RequestKind } from './request-times.ts';

/** A request that takes longer is slow. */
const SLOW_MS = 100;
/** At most one slow request is logged in this time. */
const SAMPLE_INTERVAL_MS = 1000;

export interface SlowRequest extends RequestKind {
  readonly status: number;
  readonly tookMs: number;
  /** Slow requests since the last one that was logged. */
  readonly others: number;
}

/** Chooses which slow requests are logged: at most one a second. */
export class SlowRequests {
  private lastMs = -Infinity;
  private others = 0;

  /** @returns what to log of a request that has just been answered; undefined for nothing. */
  notice(kind: RequestKind, status: number, tookMs: number, nowMs: number): SlowRequest | undefined {
    if (tookMs < SLOW_MS) return undefined;
    if (nowMs - this.lastMs < SAMPLE_INTERVAL_MS) {
      this.others++;
      return undefined;
    }
    const { others } = this;
    this.lastMs = nowMs;
    this.others = 0;
    return { ...kind, status, tookMs, others };
  }
}
