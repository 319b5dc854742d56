import type { LargeValueMessage, LargeValueReply } from '../shared/large-values.ts';
import { UNAVAILABLE } from '../shared/protocol.ts';
import { LargeRead, freed } from './large-read.ts';
import { Upload } from './upload.ts';

/** A shard that has room for a piece sends it long before. */
const MIN_WAIT_MS = 50;

export interface LargeValuesOptions {
  readonly post: (message: LargeValueMessage, handedOver?: ArrayBuffer[]) => void;
  readonly now: () => number;
  /** Clients have taken so many bytes of large values. */
  readonly addDelivered: (bytes: number) => void;
}

/** The large values that cross the port of one mailbox: those that come, and those that are being read. */
export class LargeValues {
  private readonly options: LargeValuesOptions;
  private readonly uploads = new Map<number, Upload>();
  private readonly reads = new Map<number, LargeRead>();
  private lastUpload = 0;
  private isClosed = false;

  constructor(options: LargeValuesOptions) {
    this.options = options;
  }

  /** True while a piece waits for room in the shard's reply window. */
  get awaitsReplyRoom(): boolean {
    const sinceMs = this.options.now() - MIN_WAIT_MS;
    return this.reads.values().some((read) => read.isWaitingSince(sinceMs));
  }

  /**
   * Begins to send a large value.
   * @param bytes of the whole value; 0 if nobody knows yet.
   * @returns once the shard has said that it has room, or the code by which it has refused.
   */
  async beginUpload(key: string, bytes: number): Promise<Upload | number> {
    if (this.isClosed) return UNAVAILABLE;
    const { post, now } = this.options;
    this.lastUpload = (this.lastUpload + 1) >>> 0;
    const id = this.lastUpload;
    const upload = new Upload({ id, key, bytes, post, now, onEnd: () => this.uploads.delete(id) });
    this.uploads.set(id, upload);
    await upload.begin();
    return upload.code ?? upload;
  }

  /** The reply to a read has come: its value follows. */
  openRead(id: number, bytes: number): LargeRead {
    const { post, now, addDelivered } = this.options;
    const onEnd = (): boolean => this.reads.delete(id);
    const read = new LargeRead({ id, bytes, post, now, addDelivered, onEnd });
    if (bytes > 0) this.reads.set(id, read);
    return read;
  }

  receive(message: LargeValueReply): void {
    if (message.kind === 'upload') {
      this.uploads.get(message.upload)?.receive(message.code, message.head);
      return;
    }
    const read = this.reads.get(message.read);
    if (read) read.receive(message.bytes);
    // It was given up, and that has crossed with this piece.
    else if (message.bytes) this.options.addDelivered(freed(message.bytes));
  }

  /** Gives up what has waited for the shard since this time or longer. */
  expire(overdueMs: number): void {
    for (const upload of this.uploads.values()) upload.expire(overdueMs);
    for (const read of this.reads.values()) read.expire(overdueMs);
  }

  /** The shard is gone. */
  close(): void {
    this.isClosed = true;
    for (const upload of this.uploads.values()) upload.finish(UNAVAILABLE);
    for (const read of this.reads.values()) read.finish(UNAVAILABLE);
  }
}
