import { assert } from '../shared/assert.ts';
import { free } from '../shared/free.ts';
import { GO_ON, type LargeValueMessage } from '../shared/large-values.ts';
import { OVERDUE, UNAVAILABLE } from '../shared/protocol.ts';
import { type PutOptions, encodePutOptions } from '../shared/raw-entries.ts';
import { BLOCK_BYTES } from '../shared/segment-sizes.ts';

/** How an upload has ended: CREATED or REPLACED with a head for `decodeHead`, or why nothing was stored. */
export interface UploadEnd {
  readonly code: number;
  readonly head: string;
}

export interface UploadOptions {
  /** The number that it has in its session. */
  readonly id: number;
  readonly key: string;
  /** Of the whole value; 0 if nobody knows yet. */
  readonly bytes: number;
  readonly post: (message: LargeValueMessage, handedOver?: ArrayBuffer[]) => void;
  readonly now: () => number;
  /** Called once, when it has ended. */
  readonly onEnd: (id: number) => void;
}

/**
 * A large value on its way to its shard. It is gathered in buffers of a block each. While one crosses and is taken, the
 * next one fills: so an upload holds two of them at the most on this side of the ledger.
 */
export class Upload {
  private readonly options: UploadOptions;
  private end: UploadEnd | undefined;
  private buffer: Uint8Array<ArrayBuffer> | undefined;
  private filled = 0;
  private sentBytes = 0;
  /** The reply to the last message, once it comes. */
  private lastReply: Promise<void> = Promise.resolve();
  private resolveReply: (() => void) | undefined;
  private sentAtMs = 0;

  constructor(options: UploadOptions) {
    this.options = options;
  }

  /** Why it has ended, if it has. */
  get code(): number | undefined {
    return this.end?.code;
  }

  /** Asks the shard whether there is room. */
  async begin(): Promise<void> {
    const { id, bytes } = this.options;
    this.ask({ kind: 'upload', upload: id, bytes });
    await this.lastReply;
  }

  /**
   * Adds to the value. The bytes are copied. Nothing more may be written before it has returned.
   * @returns when there is room for more: whether the upload goes on.
   */
  async write(chunk: Uint8Array): Promise<boolean> {
    const { bytes } = this.options;
    const total = this.sentBytes + this.filled + chunk.length;
    assert(bytes === 0 || total <= bytes, 'no more is written than was announced');
    for (let from = 0; from < chunk.length && !this.end;) {
      const leftBytes = bytes === 0 ? BLOCK_BYTES : bytes - this.sentBytes;
      this.buffer ??= new Uint8Array(Math.min(BLOCK_BYTES, leftBytes));
      const part = chunk.subarray(from, from + this.buffer.length - this.filled);
      this.buffer.set(part, this.filled);
      this.filled += part.length;
      from += part.length;
      if (this.filled === this.buffer.length) await this.sendPiece();
    }
    return !this.end;
  }

  /** The value is complete. It takes effect in the order in which the shard is told so. */
  async commit(options: PutOptions): Promise<UploadEnd> {
    const { id, key, bytes } = this.options;
    if (this.filled > 0) await this.sendPiece();
    await this.lastReply;
    if (this.end) return this.end;
    assert(bytes === 0 || this.sentBytes === bytes, 'as much is written as was announced');
    this.ask({ kind: 'commit', upload: id, key, options: encodePutOptions(options) });
    await this.lastReply;
    return this.end ?? { code: UNAVAILABLE, head: '' };
  }

  /** Gives it up: nothing is stored. */
  abort(): void {
    if (this.end) return;
    this.options.post({ kind: 'abort', upload: this.options.id });
    this.finish(UNAVAILABLE);
  }

  /** The shard has replied. */
  receive(code: number, head: string): void {
    if (code === GO_ON) this.settleReply();
    else this.finish(code, head);
  }

  /** Gives it up if the shard has not replied to what was sent at this time or earlier. */
  expire(overdueMs: number): void {
    if (this.resolveReply === undefined || this.sentAtMs > overdueMs) return;
    this.options.post({ kind: 'abort', upload: this.options.id });
    this.finish(OVERDUE);
  }

  /** It has ended. */
  finish(code: number, head = ''): void {
    if (this.end) return;
    this.end = { code, head };
    if (this.buffer) free(this.buffer.buffer);
    this.buffer = undefined;
    this.filled = 0;
    this.options.onEnd(this.options.id);
    this.settleReply();
  }

  private async sendPiece(): Promise<void> {
    await this.lastReply;
    const { buffer, filled } = this;
    if (this.end || !buffer) return;
    const whole = buffer.buffer;
    const piece = filled < whole.byteLength ? whole.transfer(filled) : whole;
    this.buffer = undefined;
    this.filled = 0;
    this.sentBytes += filled;
    this.ask({ kind: 'piece', upload: this.options.id, buffer: piece, bytes: filled }, [piece]);
  }

  private ask(message: LargeValueMessage, handedOver?: ArrayBuffer[]): void {
    this.lastReply = new Promise((resolve) => {
      this.resolveReply = resolve;
    });
    this.sentAtMs = this.options.now();
    this.options.post(message, handedOver);
  }

  private settleReply(): void {
    this.resolveReply?.();
    this.resolveReply = undefined;
  }
}
