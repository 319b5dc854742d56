import { type Socket, connect } from 'node:net';

export interface PipeReply {
  readonly status: number;
  readonly body: string;
}

/**
 * One keep-alive connection that pipelines: replies are matched to requests by their order. Much cheaper than
 * an HTTP client, so that the server is what is kept busy.
 */
export class HttpPipe {
  private readonly socket: Socket;
  private readonly waiting: { resolve: (reply: PipeReply) => void; reject: (error: Error) => void }[] = [];
  private text = '';

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.receive(chunk));
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('the server closed the connection')));
  }

  static open(port: number): Promise<HttpPipe> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' }, () => resolve(new HttpPipe(socket)));
      socket.once('error', reject);
    });
  }

  put(key: string, value: string, ttlSeconds?: number): Promise<PipeReply> {
    const ttl = ttlSeconds === undefined ? '' : `,"ttl":${ttlSeconds}`;
    const body = `{"key":"${key}","value":"${value}"${ttl}}`;
    return this.send(
      `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
  }

  get(path: string): Promise<PipeReply> {
    return this.send(`GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`);
  }

  delete(path: string): Promise<PipeReply> {
    return this.send(`DELETE ${path} HTTP/1.1\r\nhost: test\r\n\r\n`);
  }

  close(): void {
    this.socket.destroy();
  }

  private send(request: string): Promise<PipeReply> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) {
        reject(new Error('the connection is closed'));
        return;
      }
      this.waiting.push({ resolve, reject });
      this.socket.write(request, 'latin1');
    });
  }

  private receive(chunk: string): void {
    this.text += chunk;
    let at = 0;
    for (;;) {
      const headEnd = this.text.indexOf('\r\n\r\n', at);
      if (headEnd < 0) break;
      const head = this.text.slice(at, headEnd);
      const end = headEnd + 4 + Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
      if (end > this.text.length) break;
      this.waiting
        .shift()!
        .resolve({ status: Number(head.slice(9, 12)), body: this.text.slice(headEnd + 4, end) });
      at = end;
    }
    this.text = this.text.slice(at);
  }

  private fail(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
