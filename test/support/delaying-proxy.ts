import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer, connect } from 'node:net';

/** Stands before a server, and passes on what is sent, late. It can cut all connections, or go silent. */
export class DelayingProxy implements AsyncDisposable {
  /** What it passes on to; to be set before anybody connects. */
  targetPort = 0;
  private readonly server: Server;
  private readonly delayMs: () => number;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private isSilent = false;

  private constructor(delayMs: () => number) {
    this.delayMs = delayMs;
    this.server = createServer((client) => this.accept(client));
  }

  /** @param delayMs of the next bytes from the server. Bytes keep their order. */
  static async listen(delayMs: () => number): Promise<DelayingProxy> {
    const proxy = new DelayingProxy(delayMs);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Ends all connections, as a network does. */
  cut(): void {
    for (const [client, target] of this.pairs) {
      client.destroy();
      target.destroy();
    }
  }

  /** From now on nothing is passed on, and nobody is told. What came meanwhile is passed on later. */
  set silent(isSilent: boolean) {
    this.isSilent = isSilent;
    for (const pair of this.pairs) {
      for (const socket of pair) {
        if (isSilent) socket.pause();
        else socket.resume();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.close();
    this.cut();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    const target = connect(this.targetPort, '127.0.0.1');
    const pair = [client, target] as const;
    this.pairs.add(pair);
    const end = (): void => {
      client.destroy();
      target.destroy();
      this.pairs.delete(pair);
    };
    client.on('error', end).on('close', end);
    target.on('error', end).on('close', end);
    client.on('data', (chunk: Buffer) => target.write(chunk));
    let passed = Promise.resolve();
    target.on('data', (chunk: Buffer) => {
      const delayMs = this.delayMs();
      passed = passed.then(() => pause(delayMs)).then(() => void client.write(chunk));
    });
    if (this.isSilent) this.silent = true;
  }
}

function pause(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
