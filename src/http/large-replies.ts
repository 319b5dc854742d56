import type { ServerResponse } from 'node:http';
import { whenClosed } from './when-closed.ts';

/**
 * Large replies on their way to clients. They share a bounded room, so a client that does not take its reply
 * keeps others from theirs: while somebody waits for room, whoever has taken too long is cut off.
 */
export class LargeReplies {
  private readonly patienceMs: number;
  private readonly nowMs: () => number;
  private readonly onCutOff: () => void;
  /** When each was begun, oldest first. */
  private readonly begun = new Map<ServerResponse, number>();

  /**
   * @param patienceMs how long a client may take for one reply while others wait.
   * @param onCutOff called for each client that took longer.
   */
  constructor(patienceMs: number, nowMs: () => number, onCutOff: () => void) {
    this.patienceMs = patienceMs;
    this.nowMs = nowMs;
    this.onCutOff = onCutOff;
  }

  /** @param onEnd called when nobody holds the reply any more. */
  begin(response: ServerResponse, onEnd: () => void): void {
    this.begun.set(response, this.nowMs());
    whenClosed(response, () => {
      this.begun.delete(response);
      onEnd();
    });
  }

  /** To be called now and then while somebody waits for room. */
  cutOffSlow(): void {
    const overdueBefore = this.nowMs() - this.patienceMs;
    for (const [response, begunMs] of this.begun) {
      if (begunMs > overdueBefore) break;
      // A response that waits for those before it has no socket, and would be sent all the same.
      if (!response.req.socket.destroyed) this.onCutOff();
      response.req.socket.destroy();
    }
  }
}
