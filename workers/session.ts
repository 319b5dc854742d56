import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Doorbell } from '../src/shared/doorbell.ts';
import { free } from '../src/shared/free.ts';
import type { FromShard, ToShard } from '../src/shared/protocol.ts';

/** Gathered replies of this size leave without waiting for the rest of their batch. */
const MAX_GATHERED_CHARACTERS = 2 ** 16;

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
  private lastTicket = 0;

  constructor(port: MessagePort, doorbell: Doorbell) {
    this.port = port;
    this.doorbell = doorbell;
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

  /** Sends the replies that have gathered. */
  flush(): void {
    if (this.replies === '') return;
    const { replies } = this;
    this.replies = '';
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
