import { assert } from '../../src/shared/assert.ts';
import { LARGE_PAYLOAD } from '../../src/shared/protocol.ts';
import type { Session } from '../session.ts';

export interface WindowOptions {
  /** This shard's number: its cell. */
  readonly shard: number;
  /** Bytes of large replies that are under way, one cell per shard. Only the shard writes its own. */
  readonly cells: Int32Array;
  /** Bytes that each shard may have under way. The last reply may exceed them. */
  readonly shareBytes: number;
  readonly nowMs: () => number;
}

/** After a reply larger than all shares together, a shard sends no large reply for this long, so that others can. */
const YIELD_MS = 25;

/**
 * Bounds the memory of large replies on their way to clients: a flow-control window with credit, as in HTTP/2. A
 * reply takes its bytes from the window when it is sent. When the client has the reply, the HTTP thread acknowledges it,
 * and the bytes go back. The size of a reply is known only when the shard has found the entry, so only the shard can hold
 * it back. Small replies are not counted.
 *
 * A reply larger than the shard's share may be sent while the total of all shards is below the total of their shares.
 * Hence at most one reply that is larger than all shares together is under way in the whole process.
 */
export class FlowControlWindow {
  private readonly options: WindowOptions;
  private isOversized = false;
  private yieldsUntilMs = 0;

  constructor(options: WindowOptions) {
    this.options = options;
  }

  /** True while the next large reply may be sent. */
  get hasRoom(): boolean {
    const { cells, shard, shareBytes, nowMs } = this.options;
    if (Atomics.load(cells, shard) >= shareBytes) return false;
    if (cells.length === 1) return true;
    let total = 0;
    for (let i = 0; i < cells.length; i++) total += Atomics.load(cells, i);
    return total < shareBytes * cells.length && nowMs() >= this.yieldsUntilMs;
  }

  take(bytes: number): void {
    const { cells, shard, shareBytes } = this.options;
    if (bytes > shareBytes * cells.length) this.isOversized = true;
    Atomics.add(cells, shard, bytes);
  }

  giveBack(bytes: number): void {
    const { cells, shard, shareBytes, nowMs } = this.options;
    const left = Atomics.sub(cells, shard, bytes) - bytes;
    if (!this.isOversized || left >= shareBytes) return;
    this.isOversized = false;
    this.yieldsUntilMs = nowMs() + YIELD_MS;
  }

  /** A reply of any size is sent to a session. */
  count(session: Session, bytes: number): void {
    if (bytes >= LARGE_PAYLOAD) this.send(session, bytes);
  }

  /** A large reply is sent to a session. */
  send(session: Session, bytes: number): void {
    session.unacknowledgedBytes += bytes;
    this.take(bytes);
  }

  /** Clients of a session have received large replies of `bytes` in all. */
  acknowledge(session: Session, bytes: number): void {
    assert(bytes <= session.unacknowledgedBytes, 'no more is acknowledged than was sent');
    session.unacknowledgedBytes -= bytes;
    this.giveBack(bytes);
  }

  /** A session has ended: nobody will acknowledge what it was sent. */
  forget(session: Session): void {
    this.giveBack(session.unacknowledgedBytes);
    session.unacknowledgedBytes = 0;
  }
}
