import type { FastifyInstance } from 'fastify';
import { stopListening } from './fast/node-internals.ts';

const CHECK_INTERVAL_MS = 20;
/** A client that is between two requests may still send one in this time. */
const LAST_REQUEST_MS = 500;
/** Connections are kept open this long for clients that have not taken their answers. */
const LAST_ANSWER_MS = 3000;

/**
 * Makes `app.close()` lose no request. By itself it closes all idle connections at once, and a request that is on its way
 * on one of them would be lost. So clients first have a moment to send it, and take their answers; each answer now says
 * that it is the last one of its connection. New connections are refused from the beginning.
 */
export function drainBeforeClose(app: FastifyInstance): void {
  app.addHook('preClose', () => drain(app));
}

function drain({ server, purse }: FastifyInstance): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const beganMs = performance.now();
  const timer = setInterval(() => {
    const passedMs = performance.now() - beganMs;
    // To Node, a connection is idle when its answers are complete, even if its client has not taken them yet.
    const isAnswered = purse.totals.requests === 0 || passedMs >= LAST_ANSWER_MS;
    if (passedMs < LAST_REQUEST_MS || !isAnswered) return;
    // Again and again: connections become idle after the drain, too.
    server.closeIdleConnections();
    resolve();
  }, CHECK_INTERVAL_MS);
  server.once('close', () => {
    clearInterval(timer);
    resolve();
  });
  stopListening(server);
  return promise;
}
