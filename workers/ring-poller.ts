import type { Doorbell } from '../src/shared/doorbell.ts';

/** How long it looks for the next ring without pause. */
const POLL_MS = 0.5;
/**
 * When it has polled in vain so often in a row, it polls for one message in so many: somebody else has the processor
 * that this thread and its client would need.
 */
const MOST_VAIN_POLLS = 8;
const ONE_POLL_IN = 16;

/** Looks without pause for the next request of a lone client, before its thread sleeps: see ADR 8. */
export class RingPoller {
  private readonly doorbell: Doorbell;
  private vainPolls = 0;
  private passedOver = 0;

  constructor(doorbell: Doorbell) {
    this.doorbell = doorbell;
  }

  /** @returns whether it has rung since `rings` was read, while it was polled for. */
  poll(rings: number): boolean {
    if (!this.doorbell.isForLoneClient) return false;
    if (this.vainPolls >= MOST_VAIN_POLLS && ++this.passedOver % ONE_POLL_IN !== 0) return false;
    const isRung = this.doorbell.pollForRing(rings, POLL_MS);
    this.vainPolls = isRung ? 0 : this.vainPolls + 1;
    return isRung;
  }
}
