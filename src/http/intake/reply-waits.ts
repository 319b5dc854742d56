/**
 * Which HTTP threads have replies that wait for room in the reply window of a shard. All HTTP threads share the window. So
 * while one of them waits, each looks for its own clients that are slow to take a reply. One cell for each thread.
 */
export class ReplyWaits {
  private readonly cells: Int32Array;
  private readonly front: number;

  /** @param front the number of this thread: the main thread is 0. */
  constructor(buffer: SharedArrayBuffer, front: number) {
    this.cells = new Int32Array(buffer);
    this.front = front;
  }

  /** @param threads how many there may be. */
  static createBuffer(threads: number): SharedArrayBuffer {
    return new SharedArrayBuffer(threads * Int32Array.BYTES_PER_ELEMENT);
  }

  /** @param isWaiting whether this thread waits. @returns whether any does. */
  note(isWaiting: boolean): boolean {
    Atomics.store(this.cells, this.front, Number(isWaiting));
    return this.cells.some((waits) => waits !== 0);
  }
}
