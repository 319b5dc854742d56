import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type BodyWatcher, DirectRequest, hasBody } from '../fast/direct-request.ts';
import { gatherWrites } from '../fast/gather-writes.ts';
import { ignoreTimeouts, isWaitingForTurn, stopParsing, unsentBytes } from '../fast/node-internals.ts';
import type { CutOff } from '../../metrics/refusals.ts';
import type { Traffic } from '../../metrics/traffic.ts';
import { isProbe } from './probe.ts';
import { type Holding, type Purse, noHoldings } from './purse.ts';

/** Where the accounts of all connections are added up. */
export interface Books {
  readonly purse: Purse;
  readonly traffic: Traffic;
  readonly nowMs: () => number;
}

/**
 * Everything that is known of one connection, from the moment it is accepted: its requests, their order, and what the
 * client makes the process hold. When the connection closes, the account gives all of it back to the purse in one step.
 * From then on it charges nothing more.
 *
 * It keeps the requests of the connection in their order. A client may write a GET right behind a PUT, without waiting for
 * the answer (pipelining). The GET is complete at once, the PUT only when its body has been read, but the GET must see what
 * was put: RFC 9112, section 9.3.2. So a request waits here while the body of one before it has not been taken. Between the
 * end of a body and the message to its shard nothing waits, so routes need not keep the order themselves.
 */
export class Account implements BodyWatcher {
  /** Over TLS, the raw socket until the handshake is complete, then the TLS socket. */
  socket: Socket;
  /** Whether it has one of the ordinary places; else it is in the reserve. */
  isOrdinary: boolean;
  /** The door's tick when it came. */
  readonly tick: number;
  hasAsked = false;
  /** When its last request came, or the connection itself if none has. */
  sinceMs: number;
  /** Of requests that have not been answered, oldest first. */
  readonly responses: ServerResponse[] = [];
  private readonly purse: Purse;
  private readonly traffic: Traffic;
  private readonly nowMs: () => number;
  private readonly holds = noHoldings();
  private hasBegun = false;
  private isPipelined = false;
  private isClosed = false;
  /** A request whose body has not been taken yet. */
  private unread: object | undefined;
  /** Starts the requests behind it, oldest first. */
  private readonly behind: (() => void)[] = [];
  /** Bytes that the client has taken of its answers, when last looked at, and since when. */
  private takenBytes = 0;
  private takenAtMs = 0;
  /** Bytes read and written, as of the last look while no answer was due, and since when they have not changed. */
  private crossedBytes = 0;
  private restsSinceMs = 0;
  private afterAnswer: (() => void) | undefined;

  constructor(
    { purse, traffic, nowMs }: Books,
    { socket, isOrdinary, tick }: { socket: Socket; isOrdinary: boolean; tick: number },
  ) {
    this.purse = purse;
    this.traffic = traffic;
    this.nowMs = nowMs;
    this.socket = socket;
    this.isOrdinary = isOrdinary;
    this.tick = tick;
    this.sinceMs = nowMs();
  }

  /**
   * Charges what the client makes the process hold.
   * @returns whether the total of all connections is within its limit.
   */
  charge(what: Holding, amount: number): boolean {
    if (this.isClosed) return true;
    this.holds[what] += amount;
    return this.purse.charge(what, amount);
  }

  release(what: Holding, amount: number): void {
    if (this.isClosed) return;
    this.holds[what] -= amount;
    this.purse.release(what, amount);
  }

  /**
   * A request has begun. Node stops reading from a connection whose client does not take its answers. But before it stops,
   * it makes an object for each request in the piece that it has read, and these may be thousands. So each is charged.
   * @returns whether it may go on; if not, its connection is closed.
   */
  begin(response: ServerResponse, nowMs: number): boolean {
    const { socket, responses } = this;
    if (socket.destroyed) return false;
    if (!this.hasBegun) {
      this.hasBegun = true;
      socket.once('close', () => this.close());
      ignoreTimeouts(socket);
    }
    const { req: request } = response;
    if (request instanceof DirectRequest) {
      request.beganMs = nowMs;
      if (hasBody(request.headers)) request.watcher = this;
    }
    response.on('close', responseClosed);
    responses.push(response);
    this.sinceMs = nowMs;
    this.purse.addRequest();
    if (responses.length > 1 && !this.isPipelined) {
      this.isPipelined = true;
      gatherWrites(socket, responses);
    }
    if (this.purse.bearsRequest(responses.length)) return true;
    // A probe needs next to nothing, and says that the process is well.
    if (responses.length === 1 && isProbe(request)) return true;
    this.cutOff('unanswered');
    return false;
  }

  /** Lets a request go on as soon as the bodies before it have been taken. */
  goOn(next: RequestListener, request: IncomingMessage, response: ServerResponse): void {
    if (this.unread !== undefined) {
      this.behind.push(() => this.goOn(next, request, response));
      return;
    }
    if (request instanceof DirectRequest && request.watcher) this.unread = request;
    next(request, response);
  }

  countUnread(bytes: number): void {
    if (bytes <= 0) this.release('unreadBytes', -bytes);
    else if (!this.charge('unreadBytes', bytes)) this.cutOff('unread_bodies');
  }

  bodyTaken(request: object): void {
    if (this.unread !== request) return;
    this.unread = undefined;
    // The client of a socket that is being closed wants nothing any more.
    while (this.unread === undefined && this.behind.length > 0 && !this.socket.destroyed) {
      this.behind.shift()!();
    }
  }

  /** Charges a small answer that cannot leave yet, until its response closes. */
  hold({ req: request }: ServerResponse, bytes: number): void {
    if (this.isClosed || !(request instanceof DirectRequest)) return;
    request.unsentBytes = bytes;
    if (!this.charge('unsentBytes', bytes)) this.cutOff('held_answers');
  }

  /** A response has closed: it has left, or its connection has ended. */
  end(response: ServerResponse): void {
    const { req: request } = response;
    const place = this.responses.indexOf(response);
    if (place >= 0) {
      // Answers are closed in their order, but for one that is destroyed before its turn.
      if (place === 0) this.responses.shift();
      else this.responses.splice(place, 1);
      this.purse.removeRequests(1);
      this.count(response);
      this.afterAnswer?.();
    }
    if (request instanceof DirectRequest) {
      if (request.unsentBytes > 0) this.release('unsentBytes', request.unsentBytes);
      request.unsentBytes = 0;
      // What has come of the body, or still comes, means nothing any more.
      if (!request.complete || request.unreadBytes > 0) request.discardBody();
    }
    this.bodyTaken(request);
  }

  /** Whether the client has taken nothing of an answer for too long, from look to look. */
  isStalled(timeoutMs: number, nowMs: number): boolean {
    const isWaiting = this.responses.length > 0 && this.socket.writableLength > 0;
    // Node's own timeout could take twice as long: it starts again once, for the part that the system took at once.
    const taken = this.socket.bytesWritten - unsentBytes(this.socket);
    if (isWaiting && taken === this.takenBytes) return nowMs - this.takenAtMs >= timeoutMs;
    this.takenBytes = taken;
    this.takenAtMs = nowMs;
    return false;
  }

  /** Whether nothing has come and nothing was to be answered for too long, from look to look. */
  isResting(timeoutMs: number, nowMs: number): boolean {
    const crossed = this.socket.bytesRead + this.socket.bytesWritten;
    const rests = this.hasBegun && this.responses.length === 0 && crossed === this.crossedBytes;
    if (rests) return nowMs - this.restsSinceMs >= timeoutMs;
    this.crossedBytes = crossed;
    this.restsSinceMs = nowMs;
    return false;
  }

  /** Calls back when all whole requests have been answered; at once if they have. */
  whenAnswered(callback: () => void): void {
    // The last request may be incomplete. It is the one at fault, and gets no answer of its own: do not wait for it.
    const broken = this.responses.at(-1)?.req.complete === false ? 1 : 0;
    this.afterAnswer = () => {
      if (this.responses.length > broken) return;
      this.afterAnswer = undefined;
      callback();
    };
    this.afterAnswer();
  }

  /** The request is over: its answer has left, or its client has. */
  private count(response: ServerResponse): void {
    const { req: request } = response;
    if (request instanceof DirectRequest) this.traffic.answered(response, request.beganMs, this.nowMs());
  }

  private cutOff(why: CutOff): void {
    if (!this.socket.destroyed) this.traffic.cutOff(why);
    stopParsing(this.socket);
    this.socket.destroy();
  }

  private close(): void {
    this.isClosed = true;
    const unanswered = this.responses.splice(0);
    this.purse.removeRequests(unanswered.length);
    this.purse.releaseAll(this.holds);
    // Node does not close the responses that wait behind a CONNECT.
    for (const response of unanswered) {
      this.count(response);
      if (isWaitingForTurn(response)) response.destroy();
    }
  }
}

function responseClosed(this: ServerResponse): void {
  accountOf(this.req.socket)!.end(this);
}

const ACCOUNT: unique symbol = Symbol('account');

interface KnownSocket extends Socket {
  [ACCOUNT]?: Account;
}

/** @returns undefined for a socket that did not come through the door. */
export function accountOf(socket: Socket): Account | undefined {
  return (socket as KnownSocket)[ACCOUNT];
}

export function setAccount(socket: Socket, account: Account): void {
  (socket as KnownSocket)[ACCOUNT] = account;
}

/** Calls back when all whole requests that a connection has brought have been answered; at once if they have. */
export function whenAnswered(socket: Socket, callback: () => void): void {
  const account = accountOf(socket);
  if (account === undefined) callback();
  else account.whenAnswered(callback);
}
