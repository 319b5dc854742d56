import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { type Failure, sendFailure } from './failures.ts';
import { faultOfQuery } from './strict-query.ts';

/** A header takes far more memory than its bytes. */
export const MAX_HEADERS = 100;

const TOO_MANY_HEADERS: Failure = {
  code: 'CACHE_ERR_HEADERS_TOO_LARGE',
  message: `There may be ${MAX_HEADERS} headers.`,
};
const FRAGMENT = invalid('# must be written as %23.');
const NO_HOST = invalid('The Host header is missing.');
const TWO_HOSTS = invalid('There must be one Host header only.');
const WRONG_HOST = invalid('The Host header is not a host name or address, with or without a port.');
const WRONG_FRAMING = invalid('An HTTP/1.0 request must not have a Transfer-Encoding.');
/** A body that is compressed for the way would be stored as it comes. */
const UNKNOWN_CODING = invalid('The only Transfer-Encoding can be chunked.');
/** After these a proxy may have read the end of the request elsewhere: what follows cannot be trusted. */
const FRAMING_FAULTS: ReadonlySet<Failure> = new Set([WRONG_FRAMING, UNKNOWN_CODING]);

/** RFC 3986, section 3.2.2. The host may be empty. */
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.~!$&'()*+,;=:%-]+\])(?::\d*)?$/;
/** The last valid one: nearly all requests have the same. */
let lastHost = '';

function invalid(message: string): Failure {
  return { code: 'CACHE_ERR_REQUEST_INVALID', message };
}

/**
 * Checks requests before their bodies are read. It refuses what RFC 9112 forbids and Node lets through, then queries with
 * parameters that the route does not know, then requests without a route.
 */
export function checkHeads(
  app: FastifyInstance,
  answerUnknown: (request: FastifyRequest, reply: FastifyReply) => FastifyReply,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request.raw) ?? (request.url.includes('?') ? faultOfQuery(request) : undefined);
    if (fault) {
      if (FRAMING_FAULTS.has(fault)) void reply.header('connection', 'close');
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
  if (rawHeaders.length > 2 * MAX_HEADERS) return TOO_MANY_HEADERS;
  if (request.url!.includes('#')) return FRAGMENT;
  const coding = request.headers['transfer-encoding'];
  if (coding !== undefined) {
    if (httpVersionMinor === 0) return WRONG_FRAMING;
    if (coding.toLowerCase() !== 'chunked') return UNKNOWN_CODING;
  }
  return faultOfHost(rawHeaders, httpVersionMinor > 0);
}

/** `request.headers` would have only the first of two Host lines. */
function faultOfHost(rawHeaders: readonly string[], isRequired: boolean): Failure | undefined {
  let host: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i].length !== 4 || rawHeaders[i].toLowerCase() !== 'host') continue;
    if (host !== undefined) return TWO_HOSTS;
    host = rawHeaders[i + 1];
  }
  if (host === undefined) return isRequired ? NO_HOST : undefined;
  if (host === lastHost) return undefined;
  if (!HOST.test(host)) return WRONG_HOST;
  lastHost = host;
  return undefined;
}
