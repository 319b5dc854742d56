import type { FastifyError, FastifyReply } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { Socket } from 'node:net';
import { ERRORS, type ErrorCode, errorBody } from '../base/errors.ts';

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Carries a failure through code that passes errors on. */
export class FailureError extends Error {
  override readonly name = 'FailureError';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

const CODE_OF_FIELD: Readonly<Record<string, ErrorCode>> = {
  key: 'CACHE_ERR_KEY_INVALID',
  value: 'CACHE_ERR_VALUE_INVALID',
  ttl: 'CACHE_ERR_TTL_INVALID',
};

const CODE_OF_FRAMEWORK_ERROR: Readonly<Record<string, Failure>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
    message: 'The content type must be application/json.',
  },
  FST_ERR_BAD_URL: {
    code: 'CACHE_ERR_REQUEST_INVALID',
    message: 'The path is not valid percent-encoding.',
  },
};

export function sendFailure(reply: FastifyReply, failure: Failure): FastifyReply {
  const status = ERRORS[failure.code];
  if (status === 503) void reply.header('retry-after', '1');
  return reply.code(status).send(errorBody(failure.code, failure.message));
}

/** What a client is told of an error that Fastify or a parser raised. */
export function failureOf(error: FastifyError): Failure {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation;
    return validationFailure(first.instancePath, first.keyword, first.message ?? '', first.params);
  }
  if (error instanceof FailureError) return error.failure;
  const known = CODE_OF_FRAMEWORK_ERROR[error.code];
  if (known) return known;
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return { code: 'CACHE_ERR_REQUEST_INVALID', message: 'The request could not be read.' };
  }
  return { code: 'CACHE_ERR_INTERNAL', message: 'Unexpected error.' };
}

function validationFailure(path: string, keyword: string, message: string, issue: unknown): Failure {
  if (keyword === 'unrecognized_keys') {
    const { keys } = issue as { keys: readonly string[] };
    return {
      code: 'CACHE_ERR_UNKNOWN_PROPERTY',
      message: `Unknown: ${keys.map((key) => JSON.stringify(key)).join(', ')}.`,
    };
  }
  const field = path.slice(1);
  if (field === 'value' && keyword === 'too_big') {
    return { code: 'CACHE_ERR_VALUE_TOO_LARGE', message: `value ${message}.` };
  }
  const code = CODE_OF_FIELD[field] ?? 'CACHE_ERR_BODY_INVALID';
  return { code, message: `${field || 'The body'} ${message}.` };
}

/** How long a client that was told so may take to read why its connection is closed, and to close its side. */
const LINGER_MS = 500;

/** Answers what is not HTTP enough to become a request, and closes the connection. */
export function handleClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const failure = clientFailure(error.code);
  const status = ERRORS[failure.code];
  const body = JSON.stringify(errorBody(failure.code, failure.message));
  socket.end(
    `HTTP/1.1 ${status} ${CLIENT_ERROR_REASONS[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  // Node looks at no timeout of this connection any more, and each byte that still comes puts off its last one.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}

const CLIENT_ERROR_REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

function clientFailure(code: string | undefined): Failure {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { code: 'CACHE_ERR_REQUEST_TIMEOUT', message: 'The request did not arrive in time.' };
    case 'HPE_HEADER_OVERFLOW':
      return { code: 'CACHE_ERR_HEADERS_TOO_LARGE', message: 'Request line and headers must fit in 16 KiB.' };
    default:
      return { code: 'CACHE_ERR_REQUEST_INVALID', message: 'The request is not valid HTTP/1.1.' };
  }
}
