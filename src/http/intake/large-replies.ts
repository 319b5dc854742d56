import type { ServerResponse } from 'node:http';
import { whenClosed } from './when-closed.ts';

/**
 * Large replies on their way to clients. They share a bounded room, so a client that does not take its reply
 * keeps others from theirs. While a reply waits for room, clients that have taken too long are cut off.
 */
export class LargeReplies {
  private readonly patienceMs: number;
  private readonly nowMs: () => number;
  private readonly onCutOff: () => void;
  /** When each was begun, oldest first. */
  private readonly begun = new Map<ServerResponse, number>();

  /**
   * @param patienceMs how long a client may take for one reply while another waits for room.
   * @param onCutOff called for each client that took longer.
   */
  constructor(patienceMs: number, nowMs: () => number, onCutOff: () => void) {
    this.patienceMs = patienceMs;
    this.nowMs = nowMs;
    this.onCutOff = onCutOff;
  }

  /** @param onEnd called when the reply has left, or its client has. */
  begin(response: ServerResponse, onEnd: () => void): void {
    this.begun.set(response, this.nowMs());
    whenClosed(response, () => {
      this.begun.delete(response);
      onEnd();
    });
  }

  /**
   * The client is to take a piece of its reply, and has its time for that alone.
   * @returns to be called when it has taken the piece, or has gone.
   */
  beginPiece(response: ServerResponse): () => void {
    this.begun.set(response, this.nowMs());
    return () => void this.begun.delete(response);
  }

  /** Cuts off clients that have taken too long. To be called while a reply waits for room. */
  sweep(nowMs: number): void {
    const overdueBefore = nowMs - this.patienceMs;
    for (const [response, begunMs] of this.begun) {
      if (begunMs > overdueBefore) break;
      // A response that waits for those before it has no socket, and would be sent all the same.
      if (!response.req.socket.destroyed) this.onCutOff();
      response.req.socket.destroy();
    }
  }
}
