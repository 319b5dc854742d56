import type { FastifyError, FastifyReply } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { whenAnswered } from './connections.ts';
import { JSON_TYPE, NO_STORE, constantFailure, writeAnswer } from './constant-answers.ts';
import { STATUS_CODES } from './node-http.ts';
import { ERRORS, type ErrorCode, errorBody } from '../base/errors.ts';
import type { Refusal } from '../metrics/refusals.ts';
import { noteRefusal } from '../metrics/traffic.ts';

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  /** Where the request may be right, and is refused all the same. */
  readonly refusal?: Refusal;
}

/** Carries a failure through code that passes errors on. */
export class FailureError extends Error {
  override readonly name = 'FailureError';
  readonly failure: Failure;

  constructor(failure: Failure) {
    // Nobody looks at the stack, and where many are refused at once it would be most of what they take.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(failure.message);
    Error.stackTraceLimit = stackTraceLimit;
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
    message: 'The content type must be application/json; send the header "Content-Type: application/json".',
  },
  FST_ERR_BAD_URL: {
    code: 'CACHE_ERR_REQUEST_INVALID',
    message: 'The URL is not valid, or its path not valid percent-encoding.',
  },
};

const MOST_NAMED = 8;
const LONGEST_NAME = 64;

export function sendFailure(reply: FastifyReply, failure: Failure): FastifyReply {
  const status = ERRORS[failure.code];
  if (failure.refusal !== undefined) noteRefusal(reply.raw, failure.refusal);
  if (status === 503) void reply.header('retry-after', '1');
  void reply.header('cache-control', NO_STORE);
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

/** However many and long the names are, the answer stays short. */
export function unknownNames(names: readonly string[]): Failure {
  const named = names.slice(0, MOST_NAMED).map((name) => JSON.stringify(name.slice(0, LONGEST_NAME)));
  if (names.length > MOST_NAMED) named.push(`and ${names.length - MOST_NAMED} more`);
  return { code: 'CACHE_ERR_UNKNOWN_PROPERTY', message: `Unknown: ${named.join(', ')}.` };
}

function validationFailure(path: string, keyword: string, message: string, issue: unknown): Failure {
  if (keyword === 'unrecognized_keys') {
    return unknownNames((issue as { keys: readonly string[] }).keys);
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

/** Answers what is not HTTP enough to become a request, after the requests before it, and closes the connection. */
export function handleClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // The error itself holds the piece that could not be read.
  const failure = clientFailure(error.code);
  whenAnswered(socket, () => endWith(socket, failure));
}

const EXPECTATION = constantFailure(
  'CACHE_ERR_EXPECTATION_FAILED',
  'The only expectation that can be met is 100-continue.',
);

/** Answers what Node would answer without a body. */
export function refuseExpectation(_request: IncomingMessage, response: ServerResponse): void {
  writeAnswer(response, EXPECTATION);
}

/** Answers what Node would not answer at all. */
export function answerConnect(server: Server): void {
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // Node listens no more to a socket that it gives away, and an error that nobody hears ends the process.
    socket.on('error', () => socket.destroy());
    const failure: Failure = {
      code: 'CACHE_ERR_METHOD_NOT_ALLOWED',
      message: 'CONNECT is not allowed here.',
    };
    whenAnswered(socket, () => endWith(socket, failure));
  });
}

/** Writes an answer past Node's HTTP layer, and closes the connection. */
function endWith(socket: Socket, failure: Failure): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = ERRORS[failure.code];
  const body = JSON.stringify(errorBody(failure.code, failure.message));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${JSON_TYPE}\r\n` +
      `Content-Length: ${body.length}\r\nCache-Control: ${NO_STORE}\r\nConnection: close\r\n\r\n${body}`,
  );
  // Node looks at no timeout of this connection any more, and each byte that still comes puts off its last one.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}

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
