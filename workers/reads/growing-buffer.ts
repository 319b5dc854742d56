/** Gathers text of one-byte characters, piece by piece, in a buffer of its own that can be handed over. */
export class GrowingBuffer {
  private buffer: Buffer<ArrayBuffer>;
  private length = 0;

  /** @param capacity its probable length in bytes. */
  constructor(capacity: number) {
    this.buffer = Buffer.allocUnsafeSlow(Math.ceil(capacity));
  }

  add(text: string): void {
    const end = this.length + text.length;
    if (end > this.buffer.length) {
      const capacity = Math.ceil(end + this.buffer.length / 2);
      this.buffer = Buffer.from(this.buffer.buffer.transfer(capacity));
    }
    this.buffer.write(text, this.length, 'latin1');
    this.length = end;
  }

  /** All that was added, at the beginning of its buffer. Nothing may be added afterwards. */
  take(): Buffer<ArrayBuffer> {
    return this.buffer.subarray(0, this.length);
  }
}
