import { type Socket, connect } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';

/** What a process of clients is told on its command line, as JSON. */
export interface CrowdOptions {
  readonly port: number;
  readonly isSecure: boolean;
  readonly localAddress: string;
  readonly clients: number;
  /** So many of them begin in a second. */
  readonly beginPerSecond: number;
  /** From one request of a client to its next. */
  readonly intervalMs: number;
  readonly path: string;
}

/** What it reports, ten times a second. */
export interface CrowdCounts {
  begun: number;
  /** Clients that have a connection which has been served. */
  held: number;
  /** Clients that are held, or wait before each try for as long as they ever do. */
  settled: number;
  /** Since it began. */
  served: number;
  refused: number;
  reset: number;
}

const MIN_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** It ends by itself, whatever becomes of who started it. */
const MAX_LIFE_MS = 450_000;

const options = JSON.parse(process.argv[2]) as CrowdOptions;
const counts: CrowdCounts = { begun: 0, held: 0, settled: 0, served: 0, refused: 0, reset: 0 };
const secureContext = options.isSecure ? createSecureContext() : undefined;
const requestText = `GET ${options.path} HTTP/1.1\r\nhost: test\r\n\r\n`;

/**
 * A client with one keep-alive connection. When that is refused or reset it tries again after a delay, which doubles from
 * try to try and is not the same for all.
 */
class Client {
  private socket: Socket | undefined;
  private delayMs = MIN_DELAY_MS;
  private isServed = false;
  private isConnecting = false;
  private isSettled = false;

  open(): void {
    const { port, localAddress } = options;
    const address = { port, host: '127.0.0.1', localAddress };
    this.isConnecting = true;
    const socket = secureContext
      ? connectTls({ ...address, secureContext, rejectUnauthorized: false })
      : connect(address);
    this.socket = socket;
    socket.once(secureContext ? 'secureConnect' : 'connect', () => {
      this.isConnecting = false;
      socket.write(requestText);
    });
    socket.on('data', (data: Buffer) => this.take(data.toString('latin1', 0, 12)));
    socket.on('error', () => undefined);
    socket.once('close', () => this.lose());
  }

  private take(status: string): void {
    if (status === 'HTTP/1.1 503') {
      counts.refused++;
      return;
    }
    counts.served++;
    if (!this.isServed) counts.held++;
    this.isServed = true;
    this.settle(true);
    this.delayMs = MIN_DELAY_MS;
    setTimeout(() => this.askAgain(), options.intervalMs);
  }

  private askAgain(): void {
    if (this.socket?.writable) this.socket.write(requestText);
    else if (!this.isConnecting) this.open();
  }

  private lose(): void {
    this.socket = undefined;
    this.isConnecting = false;
    if (this.isServed) {
      // It rested when it was closed: the next request brings a new connection.
      this.isServed = false;
      counts.held--;
      this.settle(false);
      return;
    }
    counts.reset++;
    this.settle(this.delayMs === MAX_DELAY_MS);
    const delayMs = this.delayMs * (0.5 + Math.random());
    this.delayMs = Math.min(2 * this.delayMs, MAX_DELAY_MS);
    setTimeout(() => this.open(), delayMs);
  }

  private settle(isSettled: boolean): void {
    counts.settled += Number(isSettled) - Number(this.isSettled);
    this.isSettled = isSettled;
  }
}

const TICK_MS = 20;
const begin = setInterval(() => {
  const due = Math.min(options.clients, counts.begun + (options.beginPerSecond * TICK_MS) / 1000);
  while (counts.begun < due) {
    counts.begun++;
    new Client().open();
  }
  if (counts.begun >= options.clients) clearInterval(begin);
}, TICK_MS);
setInterval(() => process.send?.(counts), 100);
setTimeout(() => process.exit(1), MAX_LIFE_MS);
process.once('disconnect', () => process.exit(0));
