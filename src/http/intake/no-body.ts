import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { assert } from '../../shared/assert.ts';
import { DirectRequest } from '../fast/direct-request.ts';
import { type Failure, FailureError } from '../failures.ts';
import { keepPlace } from '../request-order.ts';

const NO_BODY: Failure = { code: 'CACHE_ERR_BODY_INVALID', message: 'DELETE takes no body.' };

/** Whether the head of a request tells of a body to follow. A chunked one may turn out to have nothing in it. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return hasLength(headers) || headers['transfer-encoding'] !== undefined;
}

/** Zero may be written with any number of digits: RFC 9110, section 8.6. */
function hasLength(headers: IncomingHttpHeaders): boolean {
  return Number(headers['content-length'] ?? 0) > 0;
}

/**
 * For routes without a body. A body without content is none. Whether a chunked one has any shows only when it comes:
 * until then the request keeps its place among those of its connection.
 */
export function refuseBody(
  request: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Error) => void,
): void {
  const { headers, raw } = request;
  if (hasLength(headers)) {
    done(new FailureError(NO_BODY));
    return;
  }
  const isChunked = headers['transfer-encoding'] !== undefined;
  // To whatever looks at the request from here on, it has no body. Clients that set a content type on every request
  // mean nothing by it.
  headers['content-length'] = '0';
  delete headers['transfer-encoding'];
  delete headers['content-type'];
  if (!isChunked) {
    done();
    return;
  }
  assert(raw instanceof DirectRequest, 'the server makes its requests');
  keepPlace(request);
  let isRefused = false;
  raw.takeBody({
    add: () => {
      if (isRefused) return;
      isRefused = true;
      done(new FailureError(NO_BODY));
    },
    end: () => {
      if (!isRefused) done();
    },
  });
}
