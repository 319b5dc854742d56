import { type AddressInfo, type Server, type Socket, connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import { expect, onTestFinished } from 'vitest';

/** So many connect at once. */
const GROUP = 40;

/** A TCP or TLS connection on which a test writes HTTP by hand. */
export class RawSocket {
  text = '';
  isEnded = false;
  readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (this.text += chunk));
    socket.on('error', () => (this.isEnded = true));
    socket.on('close', () => (this.isEnded = true));
  }

  /**
   * @param isStubborn it does not close its side when the server has closed its own.
   * @param ca the server's authority, as PEM: it speaks TLS.
   */
  static async open(
    port: number,
    { isStubborn = false, ca, host = '127.0.0.1' }: { isStubborn?: boolean; ca?: string; host?: string } = {},
  ): Promise<RawSocket> {
    const options = { port, host, allowHalfOpen: isStubborn };
    const raw = new RawSocket(ca === undefined ? connect(options) : connectTls({ ...options, ca }));
    await once(raw.socket, ca === undefined ? 'connect' : 'secureConnect');
    return raw;
  }

  /**
   * Opens many, in groups, so that the queue of connections that wait to be accepted does not overflow.
   * @param begin what each does at once: all of them together may take longer to open than the first may wait to ask.
   */
  static async openMany(
    port: number,
    count: number,
    options: { host?: string; isStubborn?: boolean; begin?: (raw: RawSocket) => void } = {},
  ): Promise<RawSocket[]> {
    const opened: RawSocket[] = [];
    while (opened.length < count) {
      const size = Math.min(GROUP, count - opened.length);
      const group = await Promise.all(Array.from({ length: size }, () => RawSocket.open(port, options)));
      if (options.begin) for (const raw of group) options.begin(raw);
      opened.push(...group);
    }
    return opened;
  }

  /** Has a server listen where it is free, and connects to it; the test ends both. */
  static async openTo(server: Server): Promise<RawSocket> {
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const raw = await RawSocket.open((server.address() as AddressInfo).port);
    onTestFinished(() => raw.close());
    return raw;
  }

  write(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Waits until what has come in matches. */
  async until(pattern: RegExp): Promise<void> {
    await expect.poll(() => this.text).toMatch(pattern);
  }

  /** Waits until the other side has closed. @returns all that came in. */
  async ended(): Promise<string> {
    await expect.poll(() => this.isEnded).toBe(true);
    return this.text;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Waits until nobody listens on the port any more. */
export async function untilRefused(port: number, host = '127.0.0.1'): Promise<void> {
  const isRefused = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect({ port, host });
      socket.once('connect', () => resolve(false));
      socket.once('error', () => resolve(true));
      socket.once('connect', () => socket.destroy());
    });
  await expect.poll(isRefused).toBe(true);
}
