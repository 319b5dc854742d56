/** How long a shard's thread that has had a message waits for the next, before it sleeps in its event loop. */
export const WAIT_MS = 2;

/** How often a count is looked at before the clock is. */
const LOOKS = 50;
const RINGS = 0;
const ANSWERS = 1;
const LONE_CLIENT = 2;

/**
 * Tells the two threads of one port that a message lies there, by two counts in shared memory that are raised after
 * each post; a third number tells the shard of a lone client. A thread that sleeps in its event loop takes longer to wake
 * than one that waits here; and one that polled the port itself would hold the port's lock just when the other wants to
 * post.
 *
 *     Int32Array over a SharedArrayBuffer:  [0] how often it has rung for the shard  [1] how often the shard has answered
 *                                           [2] whether the last batch came from a lone client
 */
export class Doorbell {
  readonly buffer: SharedArrayBuffer;
  private readonly counts: Int32Array;

  /** @param buffer of a bell that was made on another thread, to join it. */
  constructor(buffer = new SharedArrayBuffer(12)) {
    this.buffer = buffer;
    this.counts = new Int32Array(buffer);
  }

  /** To be called by the main thread after it has posted. */
  ring(): void {
    Atomics.add(this.counts, RINGS, 1);
    Atomics.notify(this.counts, RINGS);
  }

  /** Whether the last batch came from a client that asks one thing after the other; set by the main thread. */
  get isForLoneClient(): boolean {
    return Atomics.load(this.counts, LONE_CLIENT) !== 0;
  }

  set isForLoneClient(isLone: boolean) {
    Atomics.store(this.counts, LONE_CLIENT, Number(isLone));
  }

  /** To be read before one looks for messages: then none is missed. */
  get rings(): number {
    return Atomics.load(this.counts, RINGS);
  }

  /** Looks without pause whether it has rung since `rings` was read, for `pollMs` at the most. */
  pollForRing(rings: number, pollMs: number): boolean {
    return this.poll(RINGS, rings, pollMs);
  }

  /** Sleeps until it has rung since `rings` was read, for `timeoutMs` at the most. */
  wait(rings: number, timeoutMs: number): void {
    Atomics.wait(this.counts, RINGS, rings, timeoutMs);
  }

  /** To be called by the shard after it has posted. Wakes nobody: the main thread may poll for it, and never sleeps here. */
  answer(): void {
    Atomics.add(this.counts, ANSWERS, 1);
  }

  /** To be read before the shard is asked: then no answer is missed. */
  get answers(): number {
    return Atomics.load(this.counts, ANSWERS);
  }

  /** Looks without pause whether the shard has answered since `answers` was read, for `pollMs` at the most. */
  pollForAnswer(answers: number, pollMs: number): boolean {
    return this.poll(ANSWERS, answers, pollMs);
  }

  /** @returns whether the count was seen to change. */
  private poll(place: number, count: number, pollMs: number): boolean {
    const stopMs = performance.now() + pollMs;
    do {
      for (let i = 0; i < LOOKS; i++) if (Atomics.load(this.counts, place) !== count) return true;
    } while (performance.now() < stopMs);
    return false;
  }
}
