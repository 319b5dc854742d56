import { IncomingMessage } from './node-http.ts';

/** Takes a body in the pieces that the parser makes. */
export interface BodySink {
  add(chunk: Buffer): void;
  /** The body has come whole. */
  end(): void;
}

/**
 * A request whose body is taken without a stream: what Node's parser pushes goes straight to a sink, in the same turn.
 * A stream hands a small body over two turns later, and costs more than what is done with it.
 */
export class DirectRequest extends IncomingMessage {
  private sink: BodySink | undefined;

  /** What waits in the stream already, since nobody took it in time, comes through the stream. */
  takeBody(sink: BodySink): void {
    if (this.complete || this.readableLength > 0) {
      this.on('data', (chunk: Buffer) => sink.add(chunk)).on('end', () => sink.end());
    } else {
      this.sink = sink;
    }
  }

  /** Called by the parser: with null when the body has come whole. */
  override push(chunk: Buffer | null): boolean {
    const { sink } = this;
    if (!sink) return super.push(chunk);
    if (chunk) {
      sink.add(chunk);
      return true;
    }
    // The stream ends too, or an idle connection would keep its last request.
    super.push(null);
    sink.end();
    return false;
  }
}
