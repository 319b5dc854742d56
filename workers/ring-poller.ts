import type { Doorbell } from '../src/shared/doorbell.ts';
import type { Session } from './session.ts';

/** How long it busy-waits for the next ring. */
const POLL_MS = 0.5;
/**
 * After this many polls in a row without a ring, it polls only after one message in `MESSAGES_PER_POLL`: other work has the
 * processor that this thread and its client need.
 */
const MAX_VAIN_POLLS = 8;
const MESSAGES_PER_POLL = 16;

/** Busy-waits for the next request of a lone client before the thread sleeps: see ADR 8. */
export class RingPoller {
  private readonly doorbell: Doorbell;
  private readonly isEnabled: boolean;
  private sender: Session | undefined;
  /** True when the last two messages came from the same session. */
  private isSameSender = false;
  private vainPolls = 0;
  private passedOver = 0;

  constructor(doorbell: Doorbell, isEnabled: boolean) {
    this.doorbell = doorbell;
    this.isEnabled = isEnabled;
  }

  /** A message of this session is being handled. */
  noteSender(session: Session): void {
    this.isSameSender = session === this.sender;
    this.sender = session;
  }

  /** @returns whether there was a ring since `rings` was read, if it polled for one. */
  poll(rings: number): boolean {
    // Clients of two sessions are not alone, each as it may look to its own thread.
    if (!this.isEnabled || !this.isSameSender || !this.sender?.doorbell.isForLoneClient) return false;
    if (this.vainPolls >= MAX_VAIN_POLLS && ++this.passedOver % MESSAGES_PER_POLL !== 0) return false;
    const isRung = this.doorbell.pollForRing(rings, POLL_MS);
    this.vainPolls = isRung ? 0 : this.vainPolls + 1;
    return isRung;
  }
}
