import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type CountedSocket, DirectRequest, UNREAD_COUNTER } from './direct-request.ts';
import { gatherWrites } from './gather-writes.ts';
import { type Account, accountOf } from './intake/account.ts';
import { isProbe } from './intake/probe.ts';
import type { CutOff } from '../metrics/refusals.ts';
import type { Traffic } from '../metrics/traffic.ts';

declare module 'fastify' {
  interface FastifyInstance {
    connections: Connections;
  }
}

const HELD: unique symbol = Symbol('held bytes');
const BEGAN: unique symbol = Symbol('when its request came');

interface HeldResponse extends ServerResponse {
  [HELD]?: number;
  [BEGAN]?: number;
}

interface KnownSocket extends CountedSocket {
  readonly parser?: { onIncoming: () => number } | null;
  /** Not documented: should it be gone, who takes a long answer slowly is cut off, and a test tells. */
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

const STOP_PARSING = 2;
/** A connection with no more than this many is not at fault when there are too many in all. */
const FAIR_SHARE = 16;

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
 */
export class Connections {
  limits: ConnectionLimits;
  private readonly nowMs: () => number;
  private readonly traffic: Traffic;
  private total = 0;
  private unread = 0;
  private held = 0;

  constructor(limits: ConnectionLimits, nowMs: () => number, traffic: Traffic) {
    this.limits = limits;
    this.nowMs = nowMs;
    this.traffic = traffic;
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
    if (this.held > this.limits.mostHeldBytes) this.cutOff(response.req.socket, 'held_answers');
  }

  /**
   * Cuts off whoever has taken nothing of an answer for too long, from look to look. A timeout of Node's would take up to
   * twice as long: it lets a connection go on once for the part that the system took at once.
   */
  cutOffStalled(accounts: Iterable<Account>, nowMs: number): void {
    for (const account of accounts) {
      const socket: KnownSocket = account.socket;
      const isWaiting = socket.writableLength > 0 && account.responses.length > 0;
      // oxlint-disable-next-line no-underscore-dangle -- Node's name
      const takenBytes = socket.bytesWritten - (socket._handle?.writeQueueSize ?? 0);
      if (!isWaiting || takenBytes !== account.takenBytes) {
        account.takenBytes = takenBytes;
        account.takenAtMs = nowMs;
      } else if (nowMs - account.takenAtMs >= this.limits.stalledTimeoutMs) {
        this.traffic.cutOff('stalled');
        socket.destroy();
      }
    }
  }

  /** Counts a request until it has been answered. @returns whether it may go on; if not, its connection is closed. */
  count(account: Account, response: HeldResponse): boolean {
    const socket: KnownSocket = response.req.socket;
    if (socket.destroyed) return false;
    const { most, isHeapFull } = this.limits;
    const { responses } = account;
    if (account.owner === undefined) this.begin(account, socket);
    response.on('close', countAnswer);
    responses.push(response);
    account.sinceMs = this.nowMs();
    response[BEGAN] = account.sinceMs;
    this.total++;
    if (responses.length > 1 && !account.isPipelined) {
      account.isPipelined = true;
      gatherWrites(socket, responses);
    }
    const isUnfair = this.total > most && responses.length > FAIR_SHARE;
    if (!isUnfair && !(this.total > most / 4 && isHeapFull())) return true;
    // A probe needs next to nothing, and says that the process is well.
    if (responses.length === 1 && isProbe(response.req)) return true;
    this.cutOff(socket, 'unanswered');
    return false;
  }

  /**
   * Counts a request no more, whose answer goes on for as long as its client listens. Whoever writes it sees to it that a
   * client takes what it is sent, and that it ends with the server.
   */
  release(response: ServerResponse): void {
    const account = accountOf(response.req.socket);
    if (account) this.countAnswer(account, response);
  }

  private begin(account: Account, socket: KnownSocket): void {
    account.owner = this;
    socket[UNREAD_COUNTER] = (bytes) => {
      account.unreadBytes += bytes;
      this.unread += bytes;
      if (bytes > 0 && this.unread > this.limits.mostUnreadBytes) this.cutOff(socket, 'unread_bodies');
    };
    socket.once('close', () => {
      this.total -= account.responses.length;
      this.unread -= account.unreadBytes;
      for (const response of account.responses) {
        this.letGo(response);
        // Behind a CONNECT, Node tells those that wait for their turn nothing, and their room would be lost.
        if (response.socket === null) response.destroy();
      }
      delete socket[UNREAD_COUNTER];
      account.responses.length = 0;
    });
  }

  countAnswer({ responses, after }: Account, response: ServerResponse): void {
    const place = responses.indexOf(response);
    if (place < 0) return;
    // Answers are closed in their order, but for one that is destroyed before its turn.
    if (place === 0) responses.shift();
    else responses.splice(place, 1);
    this.total--;
    this.letGo(response);
    after?.();
  }

  /** The request counts no more: its answer has left, or nobody is there to take it. */
  private letGo(response: HeldResponse): void {
    this.held -= response[HELD] ?? 0;
    response[HELD] = 0;
    this.traffic.answered(response, response[BEGAN]!, this.nowMs());
  }

  private cutOff(socket: KnownSocket, why: CutOff): void {
    if (!socket.destroyed) this.traffic.cutOff(why);
    // Node would still make requests of the rest of the piece it has read. With this answer to the next one its parser
    // stops, as it does before an upgrade. Not documented: should it be gone, a test of the bound on memory tells.
    if (socket.parser) socket.parser.onIncoming = () => STOP_PARSING;
    socket.destroy();
  }
}

function countAnswer(this: ServerResponse): void {
  const account = accountOf(this.req.socket)!;
  account.owner!.countAnswer(account, this);
  const { req: request } = this;
  // What has come of the body, or still comes, means nothing any more.
  if (request instanceof DirectRequest && (!request.complete || request.unreadBytes > 0))
    request.discardBody();
}

/** Calls back when all whole requests that a connection has brought have been answered; at once if they have. */
export function whenAnswered(socket: Socket, callback: () => void): void {
  const connection = accountOf(socket);
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
