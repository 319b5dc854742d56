import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Failure, FailureError } from '../failures.ts';
import { freePiece, hasLength, takeBody } from '../fast/direct-request.ts';

const NO_BODY: Failure = { code: 'CACHE_ERR_BODY_INVALID', message: 'DELETE takes no body.' };

/**
 * For routes without a body. An empty body is allowed. Whether a chunked body is empty is known only when it arrives.
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
  // From here on, the request looks like one without a body. Its content type is removed as well: some clients set one on
  // every request.
  headers['content-length'] = '0';
  delete headers['transfer-encoding'];
  delete headers['content-type'];
  if (!isChunked) {
    done();
    return;
  }
  let isRefused = false;
  takeBody(raw, {
    add: (chunk) => {
      freePiece(raw, chunk);
      if (isRefused) return;
      isRefused = true;
      done(new FailureError(NO_BODY));
    },
    end: () => {
      if (!isRefused) done();
    },
  });
}
