/** How long a shard's thread that has had a message waits for the next one before it returns to its event loop. */
export const WAIT_MS = 2;

/** Looks at a count between two looks at the clock. */
const LOOKS = 50;
const RINGS = 0;
const ANSWERS = 0;
const LONE_CLIENT = 1;

/** The shared memory of a doorbell, to join it on another thread. */
export interface DoorbellBuffers {
  /** One for all sessions of a shard: its thread sleeps here. */
  readonly shard: SharedArrayBuffer;
  readonly session: SharedArrayBuffer;
}

/**
 * Tells the two threads of a session that a message lies in their port. Each side raises a count in shared memory after
 * it has posted, and the other side waits for the count to change. A thread that sleeps in its event loop instead takes
 * longer to wake. A thread that polled the port would hold the port's lock just when the other one wants to post. See ADR 8.
 *
 *     shard     Int32Array  [0] rings: posts to the shard, of all its sessions
 *     session   Int32Array  [0] answers: posts from the shard   [1] 1 if the last batch came from a lone client
 */
export class Doorbell {
  readonly buffers: DoorbellBuffers;
  private readonly shard: Int32Array;
  private readonly session: Int32Array;

  /** @param buffers of a doorbell that was made on another thread, to join it. */
  constructor(buffers?: DoorbellBuffers) {
    this.buffers = buffers ?? { shard: new SharedArrayBuffer(4), session: new SharedArrayBuffer(8) };
    this.shard = new Int32Array(this.buffers.shard);
    this.session = new Int32Array(this.buffers.session);
  }

  /** A doorbell for one more session of the same shard. */
  forAnotherSession(): Doorbell {
    return new Doorbell({ shard: this.buffers.shard, session: new SharedArrayBuffer(8) });
  }

  /** Wakes the shard. To be called after posting to it. */
  ring(): void {
    Atomics.add(this.shard, RINGS, 1);
    Atomics.notify(this.shard, RINGS);
  }

  /** Whether the last batch came from a client that asks one thing after the other. Set by the shard's peer. */
  get isForLoneClient(): boolean {
    return Atomics.load(this.session, LONE_CLIENT) !== 0;
  }

  set isForLoneClient(isLone: boolean) {
    Atomics.store(this.session, LONE_CLIENT, Number(isLone));
  }

  /** To be read before looking for messages, so that none is missed. */
  get rings(): number {
    return Atomics.load(this.shard, RINGS);
  }

  /** Busy-waits up to `pollMs` for a ring since `rings` was read. @returns whether there was one. */
  pollForRing(rings: number, pollMs: number): boolean {
    return poll(this.shard, RINGS, rings, pollMs);
  }

  /** Sleeps up to `timeoutMs`, until there is a ring since `rings` was read. */
  wait(rings: number, timeoutMs: number): void {
    Atomics.wait(this.shard, RINGS, rings, timeoutMs);
  }

  /** To be called by the shard after posting. Wakes nobody: its peer may poll, but never sleeps here. */
  answer(): void {
    Atomics.add(this.session, ANSWERS, 1);
  }

  /** To be read before asking the shard, so that no answer is missed. */
  get answers(): number {
    return Atomics.load(this.session, ANSWERS);
  }

  /** Busy-waits up to `pollMs` for an answer since `answers` was read. @returns whether there was one. */
  pollForAnswer(answers: number, pollMs: number): boolean {
    return poll(this.session, ANSWERS, answers, pollMs);
  }
}

/** @returns whether the cell was seen to change from `count`. */
function poll(cells: Int32Array, cell: number, count: number, pollMs: number): boolean {
  const stopMs = performance.now() + pollMs;
  do {
    for (let i = 0; i < LOOKS; i++) if (Atomics.load(cells, cell) !== count) return true;
  } while (performance.now() < stopMs);
  return false;
}
