import type { Socket } from 'node:net';
import { IncomingMessage } from './node-http.ts';
import { works } from './node-internals.ts';

/** Where a connection keeps who counts what has come of bodies that nobody has taken yet. */
export const UNREAD_COUNTER: unique symbol = Symbol('unread counter');

export interface CountedSocket extends Socket {
  /** Negative bytes are taken, or thrown away. */
  [UNREAD_COUNTER]?: (bytes: number) => void;
}

/** Takes a body in the pieces that the parser makes. */
export interface BodySink {
  add(chunk: Buffer): void;
  /** The body has come whole. */
  end(): void;
}

const NOWHERE: BodySink = { add: () => undefined, end: () => undefined };

/**
 * A request whose body is taken without a stream: what Node's parser pushes goes straight to a sink, in the same turn.
 * A stream hands a small body over two turns later, and costs more than what is done with it.
 */
export class DirectRequest extends IncomingMessage {
  /** Of the body, what has come and waits in the stream. */
  unreadBytes = 0;
  private sink: BodySink | undefined;
  private isTaken = false;

  /** What waits in the stream already, since nobody took it in time, comes through the stream. */
  takeBody(sink: BodySink): void {
    this.isTaken = true;
    this.countUnread(-this.unreadBytes);
    if (this.complete || this.readableLength > 0 || !works.directBodies) {
      this.on('data', (chunk: Buffer) => sink.add(chunk)).on('end', () => sink.end());
    } else {
      this.sink = sink;
    }
  }

  /** Has the body thrown away as it comes. */
  discardBody(): void {
    if (!this.isTaken) this.takeBody(NOWHERE);
  }

  /** Called by the parser: with null when the body has come whole. */
  override push(chunk: Buffer | null): boolean {
    const { sink } = this;
    if (!sink) {
      if (chunk && !this.isTaken) this.countUnread(chunk.length);
      return super.push(chunk);
    }
    if (chunk) {
      sink.add(chunk);
      return true;
    }
    // The stream ends too, or an idle connection would keep its last request.
    super.push(null);
    sink.end();
    return false;
  }

  private countUnread(bytes: number): void {
    const socket: CountedSocket = this.socket;
    this.unreadBytes += bytes;
    socket[UNREAD_COUNTER]?.(bytes);
  }
}
