import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const UNANSWERED: unique symbol = Symbol('unanswered requests');
const THEN: unique symbol = Symbol('what follows the answers');

interface CountedSocket extends Socket {
  [UNANSWERED]?: number;
  [THEN]?: () => void;
}

/** A connection with no more than this many is not at fault when there are too many in all. */
const FAIR_SHARE = 16;

/**
 * Bounds the memory of pipelined requests. Node reads a connection no further while its answers are not taken,
 * but only after all requests of the piece it has read, which may be thousands, have become objects. When there
 * are more than `most` requests without an answer in all, connections that add to them are closed.
 */
export function boundPipelines(server: Server, most: number): void {
  let total = 0;
  function countAnswer(this: ServerResponse): void {
    const socket: CountedSocket = this.req.socket;
    if (!socket[UNANSWERED]) return;
    total--;
    if (--socket[UNANSWERED] === 0) socket[THEN]?.();
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
    response.on('close', countAnswer);
    if (++total > most && own > FAIR_SHARE) socket.destroy();
  });
}

/** Calls back when all requests that a connection has brought have been answered; at once if they have. */
export function whenAnswered(socket: Socket, callback: () => void): void {
  const counted: CountedSocket = socket;
  if (counted[UNANSWERED]) counted[THEN] = callback;
  else callback();
}
