import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { type Failure, sendFailure } from './failures.ts';
import { faultOfQuery } from './strict-query.ts';

/** Each takes far more than its bytes. */
export const MOST_HEADERS = 100;

const TOO_MANY_HEADERS: Failure = {
  code: 'CACHE_ERR_HEADERS_TOO_LARGE',
  message: `There may be ${MOST_HEADERS} headers.`,
};
const FRAGMENT = invalid('# must be written as %23.');
const NO_HOST = invalid('The Host header is missing.');
const TWO_HOSTS = invalid('There must be one Host header only.');
const WRONG_HOST = invalid('The Host header is not a host name or address, with or without a port.');
const WRONG_FRAMING = invalid('An HTTP/1.0 request must not have a Transfer-Encoding.');

/** RFC 3986, section 3.2.2. It may be empty. */
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.~!$&'()*+,;=:%-]+\])(?::\d*)?$/;
/** The last one that was right: nearly all requests come with the same. */
let lastHost = '';

function invalid(message: string): Failure {
  return { code: 'CACHE_ERR_REQUEST_INVALID', message };
}

/**
 * Before anything of a body is read: refuses what RFC 9112 wants refused and Node lets through, or would answer in its
 * own way; then what stands in a query and is not understood; then what no route is there for.
 */
export function checkHeads(
  app: FastifyInstance,
  answerUnknown: (request: FastifyRequest, reply: FastifyReply) => FastifyReply,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request.raw) ?? (request.url.includes('?') ? faultOfQuery(request) : undefined);
    if (fault) {
      // What follows on the connection may not be what another server on the way takes it for.
      if (fault === WRONG_FRAMING) void reply.header('connection', 'close');
      sendFailure(reply, fault);
    } else if (request.is404) {
      answerUnknown(request, reply);
    } else {
      done();
    }
  });
  app.setNotFoundHandler(answerUnknown);
}

function faultOf(request: IncomingMessage): Failure | undefined {
  const { rawHeaders, httpVersionMinor } = request;
  if (rawHeaders.length > 2 * MOST_HEADERS) return TOO_MANY_HEADERS;
  if (request.url!.includes('#')) return FRAGMENT;
  if (httpVersionMinor === 0 && request.headers['transfer-encoding'] !== undefined) return WRONG_FRAMING;
  return faultOfHost(rawHeaders, httpVersionMinor > 0);
}

/** Looks at the headers as they came: `request.headers` keeps only the first of two Host lines. */
function faultOfHost(rawHeaders: readonly string[], isWanted: boolean): Failure | undefined {
  let host: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i].length !== 4 || rawHeaders[i].toLowerCase() !== 'host') continue;
    if (host !== undefined) return TWO_HOSTS;
    host = rawHeaders[i + 1];
  }
  if (host === undefined) return isWanted ? NO_HOST : undefined;
  if (host === lastHost) return undefined;
  if (!HOST.test(host)) return WRONG_HOST;
  lastHost = host;
  return undefined;
}
