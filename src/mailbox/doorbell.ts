/** How long a shard's thread that has had a message waits for the next, before it sleeps in its event loop. */
export const WAIT_MS = 2;

/**
 * Wakes threads that wait for their next message: a count per shard in shared memory, raised after each post.
 * A thread that sleeps in its event loop takes longer to wake than one that waits here.
 *
 *     Int32Array over a SharedArrayBuffer
 *     [0] the shard that was turned to last  [1 + i] how often it has rung for shard i
 */
export class Doorbell {
  readonly buffer: SharedArrayBuffer;
  private readonly cells: Int32Array;

  /** Joins a bell that was made on another thread. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.cells = new Int32Array(buffer);
  }

  static create(shards: number): Doorbell {
    return new Doorbell(new SharedArrayBuffer((1 + shards) * 4));
  }

  /** It is about to ring for this shard: the threads of the others stop to poll, which frees a processor for it. */
  turnTo(shard: number): void {
    if (Atomics.load(this.cells, 0) !== shard) Atomics.store(this.cells, 0, shard);
  }

  /** To be called after what it announces has been posted. */
  ring(shard: number): void {
    Atomics.add(this.cells, 1 + shard, 1);
    Atomics.notify(this.cells, 1 + shard);
  }

  /** How often it has rung for a shard. To be read before one looks for messages: then none is missed. */
  rings(shard: number): number {
    return Atomics.load(this.cells, 1 + shard);
  }

  /**
   * Returns once it has rung for the shard since `rings` was read, or after `timeoutMs`. Looks at the count
   * without pause for `pollMs` of that, while the shard is the last that was turned to.
   */
  wait(shard: number, rings: number, timeoutMs: number, pollMs: number): void {
    const stopMs = performance.now() + pollMs;
    do {
      for (let i = 0; i < 50; i++) {
        if (Atomics.load(this.cells, 1 + shard) !== rings) return;
      }
    } while (Atomics.load(this.cells, 0) === shard && performance.now() < stopMs);
    Atomics.wait(this.cells, 1 + shard, rings, timeoutMs);
  }
}
