import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { GarbageMeter } from '../base/garbage-meter.ts';
import type { ByteBudget } from './byte-budget.ts';
import { type Failure, FailureError } from './error-replies.ts';
import { whenClosed } from './exchanges.ts';
import { keepPlace } from './request-order.ts';

/** Smaller bodies are not counted: the number of requests in flight bounds them. */
const LEAST_COUNTED_BYTES = 4096;

const TOO_LARGE: Failure = {
  code: 'CACHE_ERR_BODY_TOO_LARGE',
  message: 'The body is larger than any allowed key and value could make it.',
};
const NOT_JSON: Failure = { code: 'CACHE_ERR_BODY_INVALID', message: 'The body is not valid JSON.' };
const ENCODED: Failure = {
  code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
  message: 'The body must not be compressed; send it without Content-Encoding.',
};
const INCOMPLETE: Failure = { code: 'CACHE_ERR_REQUEST_INVALID', message: 'The body ended early.' };
const BUSY: Failure = {
  code: 'CACHE_ERR_BUSY',
  message: 'Too many large bodies are being received already.',
};

type Done = (error: Error | null, body?: unknown) => void;

/**
 * Parses JSON bodies and no others, without coercion; properties such as `__proto__` are left to the schema
 * to name. Bytes are decoded as Latin-1: all that may be stored is ASCII, and every other byte becomes a
 * character that the schema refuses.
 */
export function parseJsonBodies(app: FastifyInstance, limitBytes: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, payload: IncomingMessage, done: Done) => {
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      done(new FailureError(ENCODED));
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    payload.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= limitBytes) chunks.push(chunk);
    });
    payload.on('end', () => {
      if (bytes > limitBytes) {
        done(new FailureError(TOO_LARGE));
        return;
      }
      const whole = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      chunks.length = 0;
      let body: unknown;
      try {
        body = JSON.parse(whole.toString('latin1'));
      } catch {
        done(new FailureError(NOT_JSON));
        return;
      }
      done(null, body);
    });
    payload.on('error', () => done(new FailureError(INCOMPLETE)));
  });
}

/** Clients that set a content type on every request mean nothing by it where there is no body. */
export function ignoreEmptyBody({ headers }: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const isEmpty = (headers['content-length'] ?? '0') === '0' && headers['transfer-encoding'] === undefined;
  if (isEmpty) delete headers['content-type'];
  done();
}

/**
 * Lets a body be read only when there is room for it. A `preParsing` hook: until it is done nothing is read
 * beyond Node's own small buffer, and the client's system holds the rest back.
 */
export function admitBodies(limitBytes: number, budget: ByteBudget, garbage: GarbageMeter) {
  return (
    request: FastifyRequest,
    reply: FastifyReply,
    _payload: unknown,
    done: (error?: Error) => void,
  ): void => {
    keepPlace(request);
    const declared = request.headers['content-length'];
    // A chunked body does not say how long it is; it is taken for as long as it may be.
    const bytes = declared === undefined ? limitBytes : Number(declared);
    if (bytes < LEAST_COUNTED_BYTES) {
      done();
      return;
    }
    if (bytes > limitBytes) {
      done(new FailureError(TOO_LARGE));
      return;
    }
    const charge = budget.chargeFor(bytes);
    budget.acquire(charge, (isGranted) => {
      if (isGranted) {
        whenClosed(reply.raw, () => {
          budget.release(charge);
          garbage.add(bytes);
        });
      }
      done(isGranted ? undefined : new FailureError(BUSY));
    });
  };
}
