import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const UNANSWERED: unique symbol = Symbol('unanswered requests');
const NEWEST: unique symbol = Symbol('newest request');
const AFTER: unique symbol = Symbol('what follows the answers');

interface CountedSocket extends Socket {
  [UNANSWERED]?: number;
  [NEWEST]?: IncomingMessage | undefined;
  [AFTER]?: () => void;
  readonly parser?: { onIncoming: () => number } | null;
}

const STOP_PARSING = 2;
/** A connection with no more than this many is not at fault when there are too many in all. */
const FAIR_SHARE = 16;

/**
 * Bounds the memory of pipelined requests. Node reads a connection no further while its answers are not taken,
 * but only after all requests of the piece it has read, which may be thousands, have become objects. When there
 * are more than `most` requests without an answer in all, connections that add to them are closed. Requests can be
 * larger than reckoned, and connections many: past a quarter of `most` the heap itself is looked at, and when it is
 * nearly full whoever adds to it is closed.
 */
export function boundPipelines(server: Server, most: number, isHeapFull: () => boolean): void {
  let total = 0;
  function countAnswer(this: ServerResponse): void {
    const socket: CountedSocket = this.req.socket;
    if (!socket[UNANSWERED]) return;
    total--;
    if (--socket[UNANSWERED] === 0) socket[NEWEST] = undefined;
    socket[AFTER]?.();
  }
  server.on('connection', (socket: CountedSocket) => {
    socket.once('close', () => {
      total -= socket[UNANSWERED] ?? 0;
      socket[UNANSWERED] = 0;
    });
  });
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const socket: CountedSocket = request.socket;
    const own = (socket[UNANSWERED] ?? 0) + 1;
    socket[UNANSWERED] = own;
    socket[NEWEST] = request;
    response.on('close', countAnswer);
    total++;
    const isUnfair = total > most && own > FAIR_SHARE;
    if (isUnfair || (total > most / 4 && isHeapFull())) cutOff(socket);
  });
}

function cutOff(socket: CountedSocket): void {
  // Node would still make requests of the rest of the piece it has read. With this answer to the next one its parser
  // stops, as it does before an upgrade. Not documented: should it be gone, a test of the bound on memory tells.
  if (socket.parser) socket.parser.onIncoming = () => STOP_PARSING;
  socket.destroy();
}

/** Calls back when all whole requests that a connection has brought have been answered; at once if they have. */
export function whenAnswered(socket: Socket, callback: () => void): void {
  const counted: CountedSocket = socket;
  // A request whose end never came is what is at fault: it will have no answer of its own.
  const broken = counted[NEWEST]?.complete === false ? 1 : 0;
  counted[AFTER] = () => {
    if ((counted[UNANSWERED] ?? 0) > broken) return;
    delete counted[AFTER];
    callback();
  };
  counted[AFTER]();
}
