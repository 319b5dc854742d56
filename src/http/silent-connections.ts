import type { Server } from 'node:http';
import type { Socket } from 'node:net';

interface Silent {
  readonly socket: Socket;
  readonly sinceMs: number;
}

/**
 * Connections that have brought no request yet, TLS handshakes that are under way among them. Node gives them seconds;
 * thousands of them could keep everybody else out for as long, again and again.
 */
export class SilentConnections {
  /** Oldest first. By the client's end, since over TLS `connection` and `request` know different sockets. */
  private readonly silent = new Map<string, Silent>();
  private readonly nowMs: () => number;

  constructor(server: Server, nowMs: () => number) {
    this.nowMs = nowMs;
    server.on('connection', (socket: Socket) => this.add(socket));
  }

  /** The connection has brought a request. */
  remove(socket: Socket): void {
    this.silent.delete(clientEnd(socket));
  }

  /** How many there are. */
  get size(): number {
    return this.silent.size;
  }

  /** Closes those that have been silent since then, or for longer. @returns how many. */
  close(sinceThenMs: number): number {
    let closed = 0;
    for (const { socket, sinceMs } of this.silent.values()) {
      if (sinceMs > sinceThenMs) break;
      socket.destroy();
      closed++;
    }
    return closed;
  }

  private add(socket: Socket): void {
    const end = clientEnd(socket);
    this.silent.set(end, { socket, sinceMs: this.nowMs() });
    socket.once('close', () => {
      // The client may have connected anew from the same port.
      if (this.silent.get(end)?.socket === socket) this.silent.delete(end);
    });
  }
}

function clientEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
