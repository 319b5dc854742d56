import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { LEAST_COUNTED_BYTES } from './byte-budget.ts';
import { type CountedSocket, DirectRequest, UNREAD_COUNTER } from './direct-request.ts';
import { gatherWrites } from './gather-writes.ts';
import { SilentConnections } from './silent-connections.ts';

declare module 'fastify' {
  interface FastifyInstance {
    connections: Connections;
  }
}

/** What is known of a connection from its first request on. */
interface Connection {
  readonly owner: Connections;
  /** Of requests that have not been answered, oldest first. */
  readonly responses: ServerResponse[];
  isPipelined: boolean;
  /** Bytes of bodies that have come and that nobody has taken yet. */
  unreadBytes: number;
  /** Bytes that the client has taken of its answers, when last looked at, and since when. */
  takenBytes: number;
  takenAtMs: number;
  /** When its last request came. */
  askedAtMs: number;
  /** To be called after each answer. */
  after: (() => void) | undefined;
}

const CONNECTION: unique symbol = Symbol('connection');
const HELD: unique symbol = Symbol('held bytes');

interface HeldResponse extends ServerResponse {
  [HELD]?: number;
}

interface KnownSocket extends CountedSocket {
  [CONNECTION]?: Connection;
  readonly parser?: { onIncoming: () => number } | null;
  /** Not documented: should it be gone, who takes a long answer slowly is cut off, and a test tells. */
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

const STOP_PARSING = 2;
/** A connection with no more than this many is not at fault when there are too many in all. */
const FAIR_SHARE = 16;
/** A connection that has asked for nothing for so long makes room for others. */
const GRACE_MS = 1000;

export interface ConnectionLimits {
  /** A client that takes nothing of its answer for so long is cut off. */
  readonly stalledTimeoutMs: number;
  /** Requests without an answer, in all. */
  readonly most: number;
  /** Bytes of bodies that nobody has taken yet, in all. */
  readonly mostUnreadBytes: number;
  /** Bytes of small answers that wait for their turn, or for their client to take those before, in all. */
  readonly mostHeldBytes: number;
  readonly isHeapFull: () => boolean;
}

/**
 * Bounds the memory of pipelined requests. Node reads a connection no further while its answers are not taken,
 * but only after all requests of the piece it has read, which may be thousands, have become objects. When there
 * are more than `most` requests without an answer in all, connections that add to them are closed. Requests can be
 * larger than reckoned, and connections many: past a quarter of `most` the heap itself is looked at, and when it is
 * nearly full whoever adds to it is closed.
 *
 * Bounds the memory of bodies, too, that have come before anybody wants them: each request has a stream that takes up
 * to 64 KiB. Past `mostUnreadBytes` the connections that add to them are closed. And of small answers that cannot leave
 * yet: past `mostHeldBytes` likewise.
 *
 * When one connection too many has come, those that have brought nothing whole in a second are closed, so that the next
 * finds room; where there are none, those that rest for as long. Not by `closeIdleConnections`: to Node those rest, too,
 * which have just come and are about to ask.
 */
export class Connections {
  limits: ConnectionLimits;
  private readonly sockets = new Set<KnownSocket>();
  private readonly silent: SilentConnections;
  private readonly nowMs: () => number;
  private total = 0;
  private unread = 0;
  private held = 0;

  constructor(server: Server, limits: ConnectionLimits, nowMs: () => number) {
    this.limits = limits;
    this.nowMs = nowMs;
    this.silent = new SilentConnections(server, nowMs);
    server.on('drop', () => this.makeRoom());
    const count = (_request: IncomingMessage, response: ServerResponse): void => {
      response.on('close', countAnswer);
      this.countRequest(response);
    };
    server.prependListener('request', count);
    // Such a request is no `request` to Node.
    server.prependListener('checkExpectation', count);
  }

  /** Bytes of bodies that nobody has taken yet, of all connections. */
  get unreadBytes(): number {
    return this.unread;
  }

  /** Requests without an answer, of all connections. */
  get unanswered(): number {
    return this.total;
  }

  /** Bytes of small answers that cannot leave yet, of all connections. */
  get heldBytes(): number {
    return this.held;
  }

  /** Counts an answer that cannot leave yet, until its response is closed. */
  hold(response: HeldResponse, bytes: number): void {
    // Its connection has been counted out already.
    if (response.req.socket.destroyed) return;
    response[HELD] = bytes;
    this.held += bytes;
    if (this.held > this.limits.mostHeldBytes) cutOff(response.req.socket);
  }

  /**
   * Cuts off whoever has taken nothing of an answer for too long, from look to look. A timeout of Node's would take up to
   * twice as long: it lets a connection go on once for the part that the system took at once.
   */
  cutOffStalled(nowMs: number): void {
    for (const socket of this.sockets) {
      const connection = socket[CONNECTION]!;
      const isWaiting = socket.writableLength > 0 && connection.responses.length > 0;
      // oxlint-disable-next-line no-underscore-dangle -- Node's name
      const takenBytes = socket.bytesWritten - (socket._handle?.writeQueueSize ?? 0);
      if (!isWaiting || takenBytes !== connection.takenBytes) {
        connection.takenBytes = takenBytes;
        connection.takenAtMs = nowMs;
      } else if (nowMs - connection.takenAtMs >= this.limits.stalledTimeoutMs) {
        socket.destroy();
      }
    }
  }

  private makeRoom(): void {
    const sinceMs = this.nowMs() - GRACE_MS;
    let closed = this.silent.close(sinceMs);
    for (const socket of this.sockets) {
      const { responses, askedAtMs } = socket[CONNECTION]!;
      if (askedAtMs > sinceMs || !isUnfinished(responses.at(-1)?.req)) continue;
      socket.destroy();
      closed++;
    }
    // Those that rest have done nothing wrong: they go when nobody else does, nor is about to.
    if (closed > 0 || this.silent.size > this.sockets.size) return;
    for (const socket of this.sockets) {
      const { responses, askedAtMs } = socket[CONNECTION]!;
      if (responses.length === 0 && askedAtMs <= sinceMs) socket.destroy();
    }
  }

  private countRequest(response: ServerResponse): void {
    const socket: KnownSocket = response.req.socket;
    const { most, isHeapFull } = this.limits;
    const connection = socket[CONNECTION] ?? this.begin(socket);
    const { responses } = connection;
    responses.push(response);
    connection.askedAtMs = this.nowMs();
    this.total++;
    if (responses.length > 1 && !connection.isPipelined) {
      connection.isPipelined = true;
      gatherWrites(socket, responses);
    }
    const isUnfair = this.total > most && responses.length > FAIR_SHARE;
    if (isUnfair || (this.total > most / 4 && isHeapFull())) cutOff(socket);
  }

  private begin(socket: KnownSocket): Connection {
    const connection: Connection = {
      owner: this,
      responses: [],
      isPipelined: false,
      unreadBytes: 0,
      takenBytes: 0,
      takenAtMs: 0,
      askedAtMs: 0,
      after: undefined,
    };
    socket[CONNECTION] = connection;
    socket[UNREAD_COUNTER] = (bytes) => {
      connection.unreadBytes += bytes;
      this.unread += bytes;
      if (bytes > 0 && this.unread > this.limits.mostUnreadBytes) cutOff(socket);
    };
    this.sockets.add(socket);
    this.silent.remove(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.total -= connection.responses.length;
      this.unread -= connection.unreadBytes;
      for (const response of connection.responses) {
        this.letGo(response);
        // Behind a CONNECT, Node tells those that wait for their turn nothing, and their room would be lost.
        if (response.socket === null) response.destroy();
      }
      delete socket[UNREAD_COUNTER];
      connection.responses.length = 0;
    });
    return connection;
  }

  countAnswer({ responses, after }: Connection, response: ServerResponse): void {
    const place = responses.indexOf(response);
    if (place < 0) return;
    // Answers are closed in their order, but for one that is destroyed before its turn.
    if (place === 0) responses.shift();
    else responses.splice(place, 1);
    this.total--;
    this.letGo(response);
    after?.();
  }

  private letGo(response: HeldResponse): void {
    this.held -= response[HELD] ?? 0;
    response[HELD] = 0;
  }
}

function countAnswer(this: ServerResponse): void {
  const socket: KnownSocket = this.req.socket;
  const connection = socket[CONNECTION]!;
  connection.owner.countAnswer(connection, this);
  const { req: request } = this;
  // What has come of the body, or still comes, means nothing any more.
  if (request instanceof DirectRequest && (!request.complete || request.unreadBytes > 0))
    request.discardBody();
}

/** The end of a small body has not come; the larger ones are the byte budget's. */
function isUnfinished(request: IncomingMessage | undefined): boolean {
  return request?.complete === false && Number(request.headers['content-length']) < LEAST_COUNTED_BYTES;
}

function cutOff(socket: KnownSocket): void {
  // Node would still make requests of the rest of the piece it has read. With this answer to the next one its parser
  // stops, as it does before an upgrade. Not documented: should it be gone, a test of the bound on memory tells.
  if (socket.parser) socket.parser.onIncoming = () => STOP_PARSING;
  socket.destroy();
}

/** Calls back when all whole requests that a connection has brought have been answered; at once if they have. */
export function whenAnswered(socket: Socket, callback: () => void): void {
  const connection = (socket as KnownSocket)[CONNECTION];
  if (!connection) {
    callback();
    return;
  }
  // A request whose end never came is what is at fault: it will have no answer of its own.
  const broken = connection.responses.at(-1)?.req.complete === false ? 1 : 0;
  connection.after = () => {
    if (connection.responses.length > broken) return;
    connection.after = undefined;
    callback();
  };
  connection.after();
}
