import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Failure, FailureError } from '../failures.ts';
import { hasLength, takeBody } from '../fast/direct-request.ts';

const NO_BODY: Failure = { code: 'CACHE_ERR_BODY_INVALID', message: 'DELETE takes no body.' };

/**
 * For routes without a body. A body without content is none. Whether a chunked body has any shows only when it comes.
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
  let isRefused = false;
  takeBody(raw, {
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
