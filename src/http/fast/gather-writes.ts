import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Callback, interceptWrites, isWaitingForTurn, works } from './node-internals.ts';

/** Most characters in one write. They stay in memory while the client does not take them. */
const MAX_CHARACTERS = 2 ** 14;

/**
 * Sends answers to pipelined requests that are ready together in one write. A write costs more than all the rest of a small
 * answer. Node gives the socket to one response at a time. The next response gets it when the write of the one before is
 * done. So while the next response is complete and waits for the socket, the text of a response is kept here and its
 * write reported as done. It then leaves in front of the text of the next response.
 *
 *     answers   ├─ 1, complete ─┼─ 2, complete ─┼─ 3, complete ─┤  4, not yet
 *     writes    ├───── kept ────┴───── kept ────┴───────────────┤  one write; its callback is the third's
 *
 * @param responses those of the connection that are not closed, oldest first.
 */
export function gatherWrites(socket: Socket, responses: readonly ServerResponse[]): void {
  if (!works.gatheredWrites) return;
  const write = socket.write.bind(socket);
  const end = socket.end.bind(socket);
  let kept = '';
  const flush = (): void => {
    if (kept === '') return;
    const text = kept;
    kept = '';
    write(text, 'latin1');
  };
  const gather = (
    chunk: string | Uint8Array,
    encoding?: BufferEncoding | Callback,
    callback?: Callback,
  ): boolean => {
    if (typeof chunk !== 'string' || encoding !== 'latin1') {
      flush();
      return typeof encoding === 'function' ? write(chunk, encoding) : write(chunk, encoding, callback);
    }
    const fits = kept.length + chunk.length <= MAX_CHARACTERS;
    if (fits && socket.writableLength === 0 && isNextReady(responses)) {
      // The next one writes before this turn of the event loop is over, unless this one is not complete yet.
      if (kept === '') setImmediate(flush);
      kept += chunk;
      if (callback) process.nextTick(callback);
      return true;
    }
    const text = kept + chunk;
    kept = '';
    return write(text, 'latin1', callback);
  };
  interceptWrites(socket, gather, (...last) => {
    // Node ends the socket after an answer that is the connection's last.
    flush();
    return Reflect.apply(end, undefined, last);
  });
}

/** Whether the response behind the one that has the socket is complete. */
function isNextReady(responses: readonly ServerResponse[]): boolean {
  let current = 0;
  // The first ones may have given the socket up already, and will be closed.
  while (current < responses.length && isWaitingForTurn(responses[current])) current++;
  return current + 1 < responses.length && responses[current + 1].writableEnded;
}
