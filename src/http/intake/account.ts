import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Told when a request has been answered. */
export interface RequestCounter {
  countAnswer(account: Account, response: ServerResponse): void;
}

/** What is known of one connection, from the moment it is accepted. */
export class Account {
  /** Over TLS the raw socket until the handshake is done. */
  socket: Socket;
  /** Whether it has one of the ordinary places; else it is in the reserve. */
  isOrdinary: boolean;
  /** The door's tick when it came. */
  readonly tick: number;
  /** Who counts its requests; absent until the first. */
  owner: RequestCounter | undefined;
  hasAsked = false;
  /** When its last request came, or the connection itself if none has. */
  sinceMs: number;
  /** Of requests that have not been answered, oldest first. */
  readonly responses: ServerResponse[] = [];
  isPipelined = false;
  /** Bytes of bodies that have come and that nobody has taken yet. */
  unreadBytes = 0;
  /** Bytes that the client has taken of its answers, when last looked at, and since when. */
  takenBytes = 0;
  takenAtMs = 0;
  /** To be called after each answer. */
  after: (() => void) | undefined;

  constructor(socket: Socket, isOrdinary: boolean, tick: number, nowMs: number) {
    this.socket = socket;
    this.isOrdinary = isOrdinary;
    this.tick = tick;
    this.sinceMs = nowMs;
  }
}

const ACCOUNT: unique symbol = Symbol('account');

interface KnownSocket extends Socket {
  [ACCOUNT]?: Account;
}

export function accountOf(socket: Socket): Account | undefined {
  return (socket as KnownSocket)[ACCOUNT];
}

export function setAccount(socket: Socket, account: Account): void {
  (socket as KnownSocket)[ACCOUNT] = account;
}
