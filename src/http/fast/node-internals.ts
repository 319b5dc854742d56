/**
 * Every use of behaviour that Node does not document. Each is checked when the server starts. If Node has changed one, the
 * server writes a log line and does without it. `test/http/node-internals.test.ts` has a test for each. Three
 * uses are elsewhere: V8's and Node's flags (`src/process/launch.ts`), and `transfer(0)` and that the parser copies each piece
 * of a body (`src/shared/free.ts`).
 */
import type { Server, ServerOptions, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { IncomingMessage, createServer } from './node-http.ts';

/** What is used, and what happens without it. */
const FALLBACKS = {
  stopParsing: 'requests that a cut off connection has sent already are still parsed',
  waitingTurn: 'every small answer is copied and counted as one that waits for its turn',
  gatheredWrites: 'each answer to a pipelined request is a write of its own',
  directBodies: 'request bodies come through a stream',
  halfOpen: 'a client that closes its side before it has the answer may not get it',
  plainClose: 'connections that are idle when the server stops are closed at once',
  writeQueue: 'a client that takes a long answer slowly is cut off',
  minorCollection: 'the garbage of large bodies is collected when V8 sees fit',
} as const;

export type Internal = keyof typeof FALLBACKS;
export type Report = (internal: Internal, fallback: string) => void;

const working = Object.fromEntries(Object.keys(FALLBACKS).map((name) => [name, true])) as Record<
  Internal,
  boolean
>;
/** Which are used. */
export const works: Readonly<Record<Internal, boolean>> = working;

interface InternalSocket extends Socket {
  readonly parser?: object | null;
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

const STOP_PARSING = 2;

/**
 * Stops the parser of a connection. To destroy the connection is not enough: the parser would still make requests of the
 * rest of the piece that it was given. With this return value for the next head it stops, as before an upgrade.
 */
export function stopParsing(socket: Duplex): void {
  const { parser } = socket as InternalSocket;
  if (works.stopParsing && parser) Reflect.set(parser, 'onIncoming', () => STOP_PARSING);
}

/**
 * Saves Node the timer that it starts after each answer and ends at the next request. The door closes connections that rest.
 * In a Node that does not use this function, it does no harm.
 */
export function ignoreTimeouts(socket: Socket): void {
  socket.setTimeout = ignoreTimeout;
}

function ignoreTimeout(this: Socket): Socket {
  return this;
}

/** Whether a response has to wait until those before it on its connection are done: Node gives it no socket until then. */
export function isWaitingForTurn(response: ServerResponse): boolean {
  return !works.waitingTurn || response.socket === null;
}

export type Callback = (error?: Error | null) => void;
type Write = (
  chunk: string | Uint8Array,
  encoding?: BufferEncoding | Callback,
  callback?: Callback,
) => boolean;
type End = (...last: unknown[]) => Duplex;

/** Puts functions before those through which Node's responses write to a connection. */
export function interceptWrites(socket: Duplex, write: Write, end: End): void {
  Object.assign(socket, { write, end });
}

/** A client may close its side of the connection after its request, and still gets the answer. */
export function allowHalfOpen(server: Server): void {
  Reflect.set(server, 'httpAllowHalfOpen', true);
}

/**
 * Makes Node read TLS connections through their stream. Otherwise Node feeds its parser directly, and loses what is
 * already decrypted when the stream is paused. In a Node that does not need it, the listener does no harm.
 */
export function readThroughStream(server: Server): void {
  server.on('secureConnection', (socket: Socket) => socket.on('data', () => undefined));
}

/** Stops listening, and no more: `close` of an HTTP server closes idle connections, too. */
export function stopListening(server: NetServer): void {
  if (works.plainClose) NetServer.prototype.close.call(server);
  else server.close();
}

/** Bytes that were written to a socket and that the system has not taken. */
export function unsentBytes(socket: Socket): number {
  // oxlint-disable-next-line no-underscore-dangle -- Node's name
  const handle = (socket as InternalSocket)._handle;
  if (!handle) return 0;
  const { writeQueueSize } = handle;
  if (typeof writeQueueSize === 'number') return writeQueueSize;
  conclude('writeQueue', false);
  return 0;
}

/** V8's minor collection: about a millisecond. There is none without `--expose-gc`. */
export function collectMinor(): void {
  if (works.minorCollection) globalThis.gc?.({ type: 'minor', execution: 'sync' });
}

/** V8's full collection. There is none without `--expose-gc`. */
export function collectAll(): void {
  globalThis.gc?.();
}

/** The same, as thorough as it gets: what the heap does not need goes back to the system. Takes 20 to 50 ms. */
export function shrinkHeap(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

let report: Report = () => undefined;

function conclude(internal: Internal, isWorking: boolean): void {
  if (!isWorking && working[internal]) report(internal, FALLBACKS[internal]);
  working[internal] = isWorking;
}

type MakeServer = (options: ServerOptions) => Server;

/** Tries each out, on connections that exist in memory only. What needs a real socket is checked with the first one. */
export async function checkInternals(onChange: Report, makeServer: MakeServer = createServer): Promise<void> {
  report = onChange;
  for (const internal of Object.keys(FALLBACKS) as Internal[]) working[internal] = true;
  for (const [check, ...internals] of CHECKS) {
    let found: Found = {};
    try {
      found = await check(makeServer);
    } catch {
      // What it uses is gone.
    }
    for (const internal of internals) conclude(internal, found[internal] === true);
  }
  // To gather writes one must know which response has the socket.
  if (!works.waitingTurn) conclude('gatheredWrites', false);
}

type Found = Partial<Record<Internal, boolean>>;

type Check = (makeServer: MakeServer) => Found | Promise<Found>;

const CHECKS: readonly (readonly [check: Check, ...Internal[]])[] = [
  [checkParser, 'directBodies', 'stopParsing', 'waitingTurn'],
  [checkWrites, 'gatheredWrites'],
  [checkHalfOpen, 'halfOpen'],
  [checkClose, 'plainClose'],
  [checkCollection, 'minorCollection'],
];

/** A connection that exists in memory only. */
class Wire extends Duplex {
  written = '';

  override _read(): void {
    // What comes is pushed.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written += chunk.toString('latin1');
    done();
  }

  async bring(server: Server, text: string): Promise<void> {
    server.emit('connection', this);
    this.push(text);
    await nextTurn();
  }
}

async function checkParser(makeServer: MakeServer): Promise<Found> {
  const events: string[] = [];
  const hadSocket: boolean[] = [];
  class Recorded extends IncomingMessage {
    override push(chunk: Buffer | null): boolean {
      events.push(chunk === null ? `end ${this.url}` : `${chunk.toString('latin1')} ${this.url}`);
      return super.push(chunk);
    }
  }
  const wire = new Wire();
  const server = makeServer({ IncomingMessage: Recorded });
  server.on('request', (request, response) => {
    events.push(`head ${request.url}`);
    if (hadSocket.push(response.socket !== null) === 2) stopParsing(wire);
  });
  const put = 'PUT /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody';
  await wire.bring(server, `${put}${get(2)}${get(3)}`);
  wire.destroy();
  return {
    directBodies: events.slice(0, 4).join() === 'head /1,body /1,end /1,head /2',
    stopParsing: hadSocket.length === 2,
    waitingTurn: hadSocket[0] && !hadSocket[1],
  };
}

async function checkWrites(makeServer: MakeServer): Promise<Found> {
  const writes: string[] = [];
  const responses: ServerResponse[] = [];
  const wire = new Wire();
  const record: Write = (chunk, encoding, callback) => {
    writes.push(`${typeof chunk} ${String(encoding)} ${String(chunk).slice(-1)}`);
    if (callback) process.nextTick(callback);
    return true;
  };
  interceptWrites(wire, record, () => wire);
  const server = makeServer({});
  server.on('request', (_request, response) => responses.push(response));
  await wire.bring(server, get(1) + get(2));
  for (const [i, response] of responses.entries()) response.end(String(i), 'latin1');
  await nextTurn();
  wire.destroy();
  return { gatheredWrites: writes.join() === 'string latin1 0,string latin1 1' };
}

async function checkHalfOpen(makeServer: MakeServer): Promise<Found> {
  const wire = new Wire();
  const server = makeServer({});
  allowHalfOpen(server);
  server.on('request', (_request, response) => setImmediate(() => response.end()));
  server.on('clientError', () => wire.destroy());
  const brought = wire.bring(server, get(1));
  wire.push(null);
  await brought;
  await nextTurn();
  wire.destroy();
  return { halfOpen: wire.written.startsWith('HTTP/1.1 200') };
}

function checkClose(makeServer: MakeServer): Found {
  const server = makeServer({});
  let plainClose = true;
  server.closeIdleConnections = () => void (plainClose = false);
  stopListening(server);
  return { plainClose };
}

function checkCollection(): Found {
  collectMinor();
  return { minorCollection: true };
}

function get(number: number): string {
  return `GET /${number} HTTP/1.1\r\nhost: a\r\n\r\n`;
}
