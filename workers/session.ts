import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Doorbell } from '../src/shared/doorbell.ts';
import { free } from '../src/shared/free.ts';
import { encodeLateReply } from '../src/shared/late-replies.ts';
import { type Parts, lengthOf, writeParts } from '../src/shared/parts.ts';
import type { FromShard, ToShard } from '../src/shared/protocol.ts';
import { ReplyMemory, encodePlaced } from '../src/shared/reply-memory.ts';

/** Gathered replies of this size leave without waiting for the rest of their batch. */
const MAX_GATHERED_CHARACTERS = 2 ** 16;
/** The same for the bytes of bodies that were placed in shared memory. */
const MAX_GATHERED_BYTES = 2 ** 18;

/**
 * The shard's end of one port: what one HTTP thread asks, and what it is answered. Replies gather here and leave
 * together, in the order of the requests. Nothing else overtakes them.
 */
export class Session {
  readonly doorbell: Doorbell;
  /** Bytes of large replies that were sent and not yet acknowledged: see `FlowControlWindow`. */
  unacknowledgedBytes = 0;
  isClosed = false;

  private readonly port: MessagePort;
  private replies = '';
  private placedBytes = 0;
  private lastTicket = 0;
  private readonly replyMemoryBytes: number;
  private replyMemory: ReplyMemory | undefined;
  private isFlushDue = false;

  /** @param replyMemoryBytes for long replies; 0 for none. */
  constructor(port: MessagePort, doorbell: Doorbell, replyMemoryBytes = 0) {
    this.port = port;
    this.doorbell = doorbell;
    this.replyMemoryBytes = replyMemoryBytes;
  }

  /** The next message that lies in the port, if there is one. */
  receive(): ToShard | undefined {
    // Only the mailbox posts to this port.
    const received: { message: ToShard } | undefined = receiveMessageOnPort(this.port);
    return received?.message;
  }

  /** Adds a reply to those that gather. */
  reply(text: string): void {
    this.replies += text;
    if (this.replies.length >= MAX_GATHERED_CHARACTERS) this.flush();
  }

  /**
   * Adds a hit whose body is copied to shared memory.
   * @param head empty where it has none.
   * @returns the bytes of the body; 0 where the memory has no room for them: then there is no reply yet.
   */
  replyPlaced(code: number, body: Parts, head: string): number {
    const bytes = lengthOf(body);
    if (bytes > this.replyMemoryBytes) return 0;
    const memory = this.replyMemory ?? this.shareMemory();
    const place = memory.take(bytes);
    if (place < 0) return 0;
    writeParts(memory.view(place, bytes), body);
    this.replies += encodePlaced(code, place, bytes, head);
    this.placedBytes += bytes;
    if (this.placedBytes >= MAX_GATHERED_BYTES) this.flush();
    return bytes;
  }

  /**
   * Adds the reply that a ticket was given for to those that gather. They leave together when all that has arrived from
   * elsewhere has been handled.
   */
  replyLate(ticket: number, code: number, body: string, head = ''): void {
    if (this.isClosed) return;
    if (!this.isFlushDue) {
      this.isFlushDue = true;
      process.nextTick(() => {
        this.isFlushDue = false;
        this.flush();
      });
    }
    this.reply(encodeLateReply(ticket, code, body, head));
  }

  /** Sends the replies that have gathered. */
  flush(): void {
    if (this.replies === '') return;
    const { replies } = this;
    this.replies = '';
    this.placedBytes = 0;
    this.send(replies);
  }

  /** Sends a message of its own, behind the replies that have gathered. */
  post(message: FromShard, handedOver?: ArrayBuffer[]): void {
    this.flush();
    this.send(message, handedOver);
  }

  /** A number for a reply that follows later. */
  nextTicket(): number {
    this.lastTicket = (this.lastTicket + 1) >>> 0;
    return this.lastTicket;
  }

  /** Ends the session. Nothing is sent any more. */
  close(): void {
    this.isClosed = true;
    this.replies = '';
    this.port.close();
  }

  private shareMemory(): ReplyMemory {
    const memory = new ReplyMemory(this.replyMemoryBytes);
    this.replyMemory = memory;
    this.post({ kind: 'memory', buffer: memory.buffer });
    return memory;
  }

  private send(message: FromShard, handedOver?: ArrayBuffer[]): void {
    if (this.isClosed) {
      for (const buffer of handedOver ?? []) free(buffer);
      return;
    }
    // An empty list would cost time, too.
    if (handedOver) this.port.postMessage(message, handedOver);
    else this.port.postMessage(message);
    this.doorbell.answer();
  }
}
