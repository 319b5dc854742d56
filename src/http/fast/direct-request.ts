import type { IncomingHttpHeaders, IncomingMessage as Message } from 'node:http';
import { freeWhole } from '../../shared/free.ts';
import { IncomingMessage } from './node-http.ts';
import { works } from './node-internals.ts';

/** Takes a body in the pieces that the parser makes. */
export interface BodySink {
  /** The piece is the sink's own: it may free it. */
  add(chunk: Buffer): void;
  /** The body has come whole. */
  end(): void;
}

/** Counts the bytes of a body that wait, and learns when the body has been read. */
export interface BodyWatcher {
  /** Bytes have arrived that nothing reads yet. A negative number: they were read or thrown away. */
  countUnread(bytes: number): void;
  /** The body has been taken whole, and its sink is done with it. */
  bodyTaken(request: object): void;
}

/** Frees a piece of a body that nothing needs any more. A piece of an injected request may be somebody else's. */
export function freePiece(request: Message, chunk: Buffer): void {
  if (request instanceof DirectRequest) freeWhole(chunk);
}

const NOWHERE: BodySink = { add: freeWhole, end: () => undefined };

/**
 * A request whose body is taken without a stream: what Node's parser pushes goes straight to a sink, in the same turn.
 * A stream would deliver a small body two turns later, and cost more than the work on the body.
 */
export class DirectRequest extends IncomingMessage {
  watcher: BodyWatcher | undefined;
  /** When its head had come. */
  beganMs = 0;
  /** Bytes of the body that have arrived and wait in the stream. */
  unreadBytes = 0;
  /** Bytes of its answer that cannot be sent yet. */
  unsentBytes = 0;
  private sink: BodySink | undefined;
  private isTaken = false;

  /** Bytes that arrived before this call wait in the stream, and are read from there. */
  takeBody(sink: BodySink): void {
    this.isTaken = true;
    this.countUnread(-this.unreadBytes);
    if (this.complete || this.readableLength > 0 || !works.directBodies) {
      this.on('data', (chunk: Buffer) => sink.add(chunk)).on('end', () => this.finish(sink));
    } else {
      this.sink = sink;
    }
  }

  /** Has the body come through the stream, whose reader holds it back while it cannot take more. */
  streamBody(): void {
    this.isTaken = true;
    this.countUnread(-this.unreadBytes);
  }

  /** Throws the body away as it arrives. */
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
    this.finish(sink);
    return false;
  }

  private finish(sink: BodySink): void {
    sink.end();
    this.watcher?.bodyTaken(this);
  }

  private countUnread(bytes: number): void {
    if (bytes === 0) return;
    this.unreadBytes += bytes;
    this.watcher?.countUnread(bytes);
  }
}

/** Takes the body of any request. If the server did not make the request (`app.inject`), reads its stream. */
export function takeBody(request: Message, sink: BodySink): void {
  if (request instanceof DirectRequest) request.takeBody(sink);
  else request.on('data', (chunk: Buffer) => sink.add(chunk)).on('end', () => sink.end());
}

/** Whether the head of a request announces a body. A chunked body may still be empty. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return hasLength(headers) || headers['transfer-encoding'] !== undefined;
}

/** Bytes of the body that a head announces; undefined for a chunked one, which does not tell. */
export function declaredBytes(headers: IncomingHttpHeaders): number | undefined {
  if (!hasBody(headers)) return 0;
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length']) : undefined;
}

/** Zero may be written with any number of digits: RFC 9110, section 8.6. */
export function hasLength(headers: IncomingHttpHeaders): boolean {
  return Number(headers['content-length'] ?? 0) > 0;
}
