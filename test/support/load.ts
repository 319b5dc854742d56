import { RawSocket } from './raw-socket.ts';

const CONNECTIONS = 32;
const ANSWER = /^HTTP\/1\.1 (\d{3}) [^]*?\r\n\r\n/;

interface Connection {
  readonly raw: RawSocket;
  /** What has come in of an answer that is not whole. */
  rest: string;
}

/** Connections that write a PUT and a GET by turns, each as soon as the one before has been answered. */
export class Load {
  sent = 0;
  answered = 0;
  readonly statuses = new Set<string>();
  private readonly connections: Promise<Connection[]>;
  private onAnswer: () => void = () => undefined;

  constructor(port: number) {
    this.connections = Promise.all(Array.from({ length: CONNECTIONS }, (_, n) => this.connect(port, n)));
  }

  /** Waits until this many requests have been answered. */
  async until(answers: number): Promise<void> {
    await this.connections;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.onAnswer = () => this.answered >= answers && resolve();
    this.onAnswer();
    await promise;
  }

  /** Waits until the other side has closed every connection. */
  async ended(): Promise<readonly Connection[]> {
    const connections = await this.connections;
    await Promise.all(connections.map(({ raw }) => raw.ended()));
    return connections;
  }

  private async connect(port: number, n: number): Promise<Connection> {
    const raw = await RawSocket.open(port);
    const connection: Connection = { raw, rest: '' };
    let requests = 0;
    const send = (): void => {
      this.sent++;
      raw.write(requestText(`key-${n}`, requests++));
    };
    raw.socket.on('data', (chunk: string) => {
      connection.rest += chunk;
      const head = ANSWER.exec(connection.rest);
      if (!head) return;
      const length = Number(/^content-length: (\d+)/im.exec(head[0])?.[1]);
      if (connection.rest.length < head[0].length + length) return;
      connection.rest = connection.rest.slice(head[0].length + length);
      this.answered++;
      this.onAnswer();
      this.statuses.add(head[1]);
      if (!/^connection: close/im.test(head[0])) send();
    });
    send();
    return connection;
  }
}

function requestText(key: string, n: number): string {
  if (n % 2 === 1) return `GET /cache/${key} HTTP/1.1\r\nhost: test\r\n\r\n`;
  const body = `{"key":"${key}","value":"value-${n}"}`;
  return `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}
