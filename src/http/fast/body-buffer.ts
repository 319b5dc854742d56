import { free } from '../../shared/free.ts';

const MIN_CAPACITY = 4096;

/**
 * The bytes of one body as they come. They are copied into one buffer, since a chunk may be a single byte that
 * keeps a whole network buffer alive; only a body that comes in one piece is not copied.
 */
export class BodyBuffer {
  /** How many bytes have come, kept or not. */
  length = 0;
  private readonly declared: number;
  private readonly limit: number;
  private buffer: Buffer | undefined;
  /** True when the buffer was made here, and holds nothing else. */
  private isOwn = false;

  /**
   * @param declared the body's length where the client has told it, else undefined.
   * @param limit bytes beyond this many are counted and not kept.
   */
  constructor(declared: number | undefined, limit: number) {
    this.declared = declared ?? 0;
    this.limit = limit;
  }

  /** @returns whether it keeps the chunk itself. If not, nothing here needs the chunk any more. */
  add(chunk: Buffer): boolean {
    const start = this.length;
    this.length += chunk.length;
    if (this.length > this.limit) {
      this.free();
    } else if (start === 0 && chunk.length >= this.declared) {
      this.buffer = chunk;
      return true;
    } else {
      this.reserve(start);
      chunk.copy(this.buffer!, start);
    }
    return false;
  }

  /** Latin-1 text of it all. */
  text(): string {
    return this.buffer?.toString('latin1', 0, this.length) ?? '';
  }

  /** All that has come, until the memory is given back. */
  bytes(): Buffer {
    return this.buffer?.subarray(0, this.length) ?? Buffer.alloc(0);
  }

  /** Gives the memory back. */
  free(): void {
    if (this.isOwn) free(this.buffer!.buffer as ArrayBuffer);
    this.isOwn = false;
    this.buffer = undefined;
  }

  private reserve(kept: number): void {
    if (this.buffer && this.buffer.length >= this.length) return;
    const capacity = Math.min(Math.max(this.declared, this.length * 2, MIN_CAPACITY), this.limit);
    const larger = Buffer.allocUnsafeSlow(capacity);
    this.buffer?.copy(larger, 0, 0, kept);
    this.free();
    this.buffer = larger;
    this.isOwn = true;
  }
}
