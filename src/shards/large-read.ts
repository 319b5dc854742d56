import { assert } from '../shared/assert.ts';
import { free } from '../shared/free.ts';
import type { LargeValueMessage } from '../shared/large-values.ts';
import { BUSY, OVERDUE } from '../shared/protocol.ts';

/** A piece of a value that is being read. */
export interface ReadPiece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** To be called when nobody holds the bytes any more: they are freed. */
  readonly delivered: () => void;
}

export interface LargeReadOptions {
  /** The number that the shard has given it. */
  readonly id: number;
  /** Of the whole value. */
  readonly bytes: number;
  readonly post: (message: LargeValueMessage) => void;
  readonly now: () => number;
  /** The client has taken so many bytes. */
  readonly addDelivered: (bytes: number) => void;
  /** Called once, when it has ended. */
  readonly onEnd: (id: number) => void;
}

/** A large value on its way from its shard, piece by piece as the client takes them. */
export class LargeRead {
  private readonly options: LargeReadOptions;
  private leftBytes: number;
  /** Why it was cut off, if it was. */
  private code: number | undefined;
  private resolveNext: ((piece: ReadPiece | number) => void) | undefined;
  private askedAtMs = 0;

  constructor(options: LargeReadOptions) {
    this.options = options;
    this.leftBytes = options.bytes;
  }

  /**
   * Asks for the next piece. The one before must have been delivered, or the window may never have room for it.
   * @returns the piece; undefined after the last one; or why there are no more: then the value is incomplete.
   */
  next(): Promise<ReadPiece | number | undefined> {
    if (this.code !== undefined) return Promise.resolve(this.code);
    if (this.leftBytes === 0) return Promise.resolve(undefined);
    assert(this.resolveNext === undefined, 'one piece is asked for at a time');
    this.askedAtMs = this.options.now();
    this.options.post({ kind: 'more', read: this.options.id });
    return new Promise((resolve) => {
      this.resolveNext = resolve;
    });
  }

  /** Whether it asked for its next piece at this time or earlier, and waits for it. */
  isWaitingSince(timeMs: number): boolean {
    return this.resolveNext !== undefined && this.askedAtMs <= timeMs;
  }

  /** Nothing more is wanted. */
  cancel(): void {
    if (this.code !== undefined || this.leftBytes === 0) return;
    this.options.post({ kind: 'cancel', read: this.options.id });
    this.finish(BUSY);
  }

  /** A piece has come; or none, since the shard has given the value up. */
  receive(bytes: Uint8Array<ArrayBuffer> | undefined): void {
    if (bytes === undefined) {
      this.finish(BUSY);
      return;
    }
    this.leftBytes -= bytes.length;
    const { id, onEnd } = this.options;
    if (this.leftBytes === 0) onEnd(id);
    const { resolveNext } = this;
    this.resolveNext = undefined;
    resolveNext?.({ bytes, delivered: () => this.options.addDelivered(freed(bytes)) });
  }

  /** Gives it up if the piece that was asked for at this time or earlier has not come. */
  expire(overdueMs: number): void {
    if (!this.isWaitingSince(overdueMs)) return;
    this.options.post({ kind: 'cancel', read: this.options.id });
    this.finish(OVERDUE);
  }

  /** It is cut off. */
  finish(code: number): void {
    if (this.code !== undefined || this.leftBytes === 0) return;
    this.code = code;
    this.options.onEnd(this.options.id);
    this.resolveNext?.(code);
    this.resolveNext = undefined;
  }
}

/** Frees a piece. @returns its length. */
export function freed(bytes: Uint8Array<ArrayBuffer>): number {
  const { length } = bytes;
  free(bytes.buffer);
  return length;
}
