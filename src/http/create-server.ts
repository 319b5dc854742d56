import type { RequestListener, Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { answerConnect, refuseExpectation } from './socket-answers.ts';
import { DirectRequest } from './fast/direct-request.ts';
import { createServer as createPlainServer } from './fast/node-http.ts';
import { allowHalfOpen, readThroughStream } from './fast/node-internals.ts';
import type { FrontDoor } from './intake/front-door.ts';
import { MAX_HEADERS } from './request-head.ts';

/**
 * How long a client may take, in ms: to send its headers; to send a whole request; between two requests. The first two are
 * looked at now and then.
 */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** And for each MiB that a value may have. */
const REQUEST_TIMEOUT_MS_PER_MIB = 1000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
const TIMEOUT_CHECK_INTERVAL_MS = 2000;

const SERVER_OPTIONS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
  // The default. If it is given, Node need not look for it in three places for each answer.
  httpValidation: 'strict' as const,
  // Asked for in a hook, where the answer has the shape of all errors.
  requireHostHeader: false,
  // A request without a body needs no stream for one.
  optimizeEmptyRequests: true,
  // Nor does a body: see ADR 14.
  IncomingMessage: DirectRequest,
};
const TLS_OPTIONS = { handshakeTimeout: HEADERS_TIMEOUT_MS, allowHalfOpen: true };

/** PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Node's server behind the front door. */
export function createServer(
  door: FrontDoor,
  tls: Certificate | undefined,
  handler: RequestListener,
  maxRawBytes: number,
): Server {
  const requestTimeout = REQUEST_TIMEOUT_MS + Math.floor(maxRawBytes / 2 ** 20) * REQUEST_TIMEOUT_MS_PER_MIB;
  const options = { ...SERVER_OPTIONS, requestTimeout };
  const server = tls
    ? createSecureServer({ ...options, ...TLS_OPTIONS, ...tls })
    : createPlainServer(options);
  door.guard(server, handler, refuseExpectation);
  allowHalfOpen(server);
  // Headers beyond the limit are not kept: thousands of short ones would take ten times their bytes.
  server.maxHeadersCount = MAX_HEADERS + 1;
  readThroughStream(server);
  answerConnect(server);
  return server;
}
