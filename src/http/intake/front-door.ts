import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Server as SecureServer } from 'node:tls';
import { assert } from '../../shared/assert.ts';
import { freeWhole } from '../../shared/free.ts';
import { takeBody } from '../fast/direct-request.ts';
import { writeAnswer } from '../write-answer.ts';
import { dialectOfPath } from '../build-tools.ts';
import type { Failure } from '../failures.ts';
import { Account, type Books, accountOf, setAccount } from './account.ts';
import { MIN_LARGE_BODY_BYTES } from './body-queue.ts';
import { isProbe } from './probe.ts';
import { type Traffic, noteRefusal } from '../../metrics/traffic.ts';
import type { Purse } from './purse.ts';

export interface DoorLimits {
  /** Connections that may ask for anything. */
  readonly maxConnections: number;
  /** Connections beyond these, which may ask one probe each. */
  readonly reserve: number;
  /** Newcomers that may wait for a place in the reserve. Each may hold 64 KiB that its client has sent. */
  readonly waiting: number;
  /** A client that takes nothing of its answer for this long is cut off. */
  readonly stalledTimeoutMs: number;
}

/** How long an ordinary connection may be without a whole request while others find no place. */
const GRACE_MS = 1000;
/**
 * Over TLS an idle connection is not closed for others before it has been there for this many sweeps, at least 10 s. For each
 * place that becomes free many clients try to get it, and each try costs a handshake. With places that became free every
 * second, 20,000 clients took all of the thread's time for handshakes, and probes did not get through.
 */
const MIN_TLS_TICKS = 100;
/** How many sweeps a connection may stay in the reserve without a request while others wait for its place. */
const RESERVE_TICKS = 5;
/** How many sweeps a newcomer may wait for a place. */
const WAIT_TICKS = 10;
/** Each time after this many sweeps, all connections are checked for clients that take no answer or send no request. */
const STALL_TICKS = 20;

const REFUSAL: Failure = { code: 'CACHE_ERR_BUSY', message: 'All connections are in use.' };

/**
 * Bounds how many connections there are, and lets requests in. Probes are answered even when all connections are in use.
 *
 * Beyond `maxConnections` a connection gets a place in a small reserve. It may ask one probe; any other request is
 * refused there, unless an ordinary place has become free meanwhile. Either way the connection is then closed, so the
 * reserve is soon free again. While the reserve is full, newcomers wait. Nothing is done for them yet, since a TLS handshake
 * would cost far more. A newcomer that waits too long is dropped; when too many wait, the oldest is.
 *
 * While newcomers are refused, a sweep closes connections that hold an ordinary place and do not use it: those without a
 * whole request for a second. If there are none, it closes idle connections, at most as many as were refused. With TLS it
 * closes only those that are at least 10 s old. A refusal itself closes nothing, so it is cheap.
 */
export class FrontDoor implements Books {
  readonly limits: DoorLimits;
  /** In the order in which they came. */
  private readonly accounts = new Set<Account>();
  private readonly reserve = new Set<Account>();
  /** Newcomers without a place, and the tick when each came, oldest first. */
  private readonly waiting = new Map<Socket, number>();
  /** TLS handshakes under way, by the client's address and port: after the handshake Node uses another socket. */
  private readonly handshakes = new Map<string, Account>();
  readonly purse: Purse;
  readonly nowMs: () => number;
  readonly traffic: Traffic;
  private isSecure = false;
  private serve: (socket: Socket) => void = () => undefined;
  /** How long a client may wait between two requests: its answers say so. */
  private keepAliveTimeoutMs: () => number = () => Infinity;
  private ordinary = 0;
  private tick = 0;
  /** Newcomers that found no ordinary place since the last sweep. */
  private refused = 0;

  constructor(limits: DoorLimits, purse: Purse, nowMs: () => number, traffic: Traffic) {
    this.limits = limits;
    this.purse = purse;
    this.nowMs = nowMs;
    this.traffic = traffic;
  }

  /** How many connections there are. */
  get size(): number {
    return this.accounts.size;
  }

  /** How many newcomers wait for a place. */
  get waitingCount(): number {
    return this.waiting.size;
  }

  /**
   * Puts the door before what the server does with new connections and with requests. To be called before anything else
   * listens.
   * @param onExpectation takes requests with another expectation than 100-continue, for which Node has an event of their own.
   */
  guard(server: Server, onRequest: RequestListener, onExpectation: RequestListener): void {
    const admitted = this.admitted(onRequest);
    // The route that reads the body tells the client to send it.
    server.on('request', admitted).on('checkContinue', admitted);
    server.on('checkExpectation', this.admitted(onExpectation));
    this.isSecure = server instanceof SecureServer;
    this.keepAliveTimeoutMs = () => server.keepAliveTimeout || Infinity;
    const [serve, ...others] = server.listeners('connection');
    assert(others.length === 0, 'only Node listens for connections');
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => this.letIn(socket));
    this.serve = (socket) => {
      Reflect.apply(serve, server, [socket]);
    };
    server.prependListener('secureConnection', (socket: Socket) => {
      const end = clientEnd(socket);
      const account = this.handshakes.get(end);
      if (account === undefined) {
        // The client has gone already: it has no address any more.
        socket.destroy();
        return;
      }
      this.handshakes.delete(end);
      account.socket = socket;
      setAccount(socket, account);
    });
  }

  private admitted(next: RequestListener): RequestListener {
    return (request, response) => {
      const account = accountOf(request.socket);
      if (account === undefined || !account.begin(response, this.nowMs())) return;
      if (this.admit(account, request, response)) account.goOn(next, request, response);
    };
  }

  /** @returns whether the request may go on; if not, it has been answered, or will not be. */
  private admit(account: Account, request: IncomingMessage, response: ServerResponse): boolean {
    if (!account.isOrdinary && this.ordinary < this.limits.maxConnections) this.promote(account);
    if (account.isOrdinary) {
      account.hasAsked = true;
      return true;
    }
    // The answer to the one request that it may ask is its last.
    if (account.hasAsked) return false;
    account.hasAsked = true;
    if (isProbe(request)) {
      response.setHeader('connection', 'close');
      return true;
    }
    this.refused++;
    noteRefusal(response, 'connections');
    // A client that is still sending would be reset, and not see why.
    afterBody(request, () => {
      const { status, headers, body } = dialectOfPath(request.url!).failed(REFUSAL, request.method!);
      writeAnswer(response, { status, headers: [...headers, 'connection', 'close'], body });
    });
    return false;
  }

  /** To be called every 100 ms: a tick. */
  sweep(nowMs: number): void {
    this.tick++;
    this.endWaits();
    this.traffic.connectionsSwept(this.refused > 0, this.limits.maxConnections, nowMs);
    if (this.refused > 0) this.makeRoom(this.refused, nowMs - GRACE_MS);
    this.refused = 0;
    if (this.tick % STALL_TICKS === 0) this.closeUnused(nowMs);
  }

  [Symbol.iterator](): Iterator<Account> {
    return this.accounts.values();
  }

  private letIn(socket: Socket): void {
    if (this.hasPlace) {
      this.place(socket);
      return;
    }
    this.waiting.set(socket, this.tick);
    socket.once('close', () => this.waiting.delete(socket));
    // Node listens when it serves the socket; until then an error must not end the process.
    socket.once('error', () => undefined);
    if (this.waiting.size > this.limits.waiting) this.dropOldest();
  }

  private get hasPlace(): boolean {
    return this.ordinary < this.limits.maxConnections || this.reserve.size < this.limits.reserve;
  }

  private place(socket: Socket): void {
    const isOrdinary = this.ordinary < this.limits.maxConnections;
    const account = new Account(this, { socket, isOrdinary, tick: this.tick });
    this.accounts.add(account);
    if (isOrdinary) this.ordinary++;
    else this.reserve.add(account);
    setAccount(socket, account);
    const end = this.isSecure ? clientEnd(socket) : undefined;
    if (end !== undefined) this.handshakes.set(end, account);
    socket.once('close', () => {
      this.forget(account);
      // The client may have connected anew from the same port.
      if (end !== undefined && this.handshakes.get(end) === account) this.handshakes.delete(end);
    });
    this.serve(socket);
  }

  /** Gives places that have become free to those that have waited longest. */
  private placeWaiting(): void {
    for (const [socket] of this.waiting) {
      if (!this.hasPlace) return;
      this.waiting.delete(socket);
      if (!socket.destroyed) this.place(socket);
    }
  }

  private dropOldest(): void {
    const [oldest] = this.waiting.keys();
    this.waiting.delete(oldest);
    this.refused++;
    this.traffic.cutOff('waited');
    oldest.destroy();
  }

  private endWaits(): void {
    for (const [, tick] of this.waiting) {
      if (this.tick - tick < WAIT_TICKS) break;
      this.dropOldest();
    }
    let wanted = this.waiting.size;
    for (const { tick, hasAsked, responses, socket } of this.reserve) {
      if (wanted === 0 || this.tick - tick < RESERVE_TICKS) break;
      // A request whose body does not end is never answered, and would hold its place as long.
      if (hasAsked && responses.at(-1)?.req.complete !== false) continue;
      this.closeForOthers(socket);
      wanted--;
    }
  }

  private promote(account: Account): void {
    this.reserve.delete(account);
    account.isOrdinary = true;
    this.ordinary++;
  }

  private forget(account: Account): void {
    if (!this.accounts.delete(account)) return;
    if (account.isOrdinary) this.ordinary--;
    else this.reserve.delete(account);
    if (this.waiting.size > 0) this.placeWaiting();
  }

  private closeUnused(nowMs: number): void {
    const restMs = this.keepAliveTimeoutMs() + GRACE_MS;
    for (const account of this.accounts) {
      if (account.isStalled(this.limits.stalledTimeoutMs, nowMs)) {
        this.traffic.cutOff('stalled');
        account.socket.destroy();
      } else if (account.isResting(restMs, nowMs)) {
        account.socket.destroy();
      }
    }
  }

  private makeRoom(wanted: number, sinceMs: number): void {
    const resting: Account[] = [];
    const lastTick = this.isSecure ? this.tick - MIN_TLS_TICKS : this.tick;
    let unfinished = 0;
    let closed = 0;
    for (const account of this.accounts) {
      const { isOrdinary, hasAsked, responses, socket } = account;
      if (!isOrdinary) continue;
      const request = responses.at(-1)?.req;
      if (!hasAsked || request?.complete === false) unfinished++;
      if (account.sinceMs > sinceMs) continue;
      if (!hasAsked || isUnfinished(request)) {
        this.closeForOthers(socket);
        closed++;
      } else if (responses.length === 0 && account.tick <= lastTick && resting.length < wanted) {
        resting.push(account);
      }
    }
    // Idle connections do nothing wrong. They are closed only when no other connection is closed now or soon.
    if (closed > 0 || unfinished > this.ordinary / 2) return;
    for (const { socket } of resting) this.closeForOthers(socket);
  }

  private closeForOthers(socket: Socket): void {
    this.traffic.cutOff('made_room');
    socket.destroy();
  }
}

function clientEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Whether the end of a small body has not come. Larger bodies are swept with the bodies. */
function isUnfinished(request: IncomingMessage | undefined): boolean {
  return request?.complete === false && Number(request.headers['content-length']) < MIN_LARGE_BODY_BYTES;
}

function afterBody(request: IncomingMessage, callback: () => void): void {
  // A client that waits for `100 Continue` has not begun to send.
  if (request.complete || request.headers.expect !== undefined) callback();
  else takeBody(request, { add: freeWhole, end: callback });
}
