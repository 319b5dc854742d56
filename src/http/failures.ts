import type { FastifyReply } from 'fastify';
import { ERRORS, type ErrorCode, errorBody } from '../api/errors.ts';
import type { Refusal } from '../metrics/refusals.ts';
import { noteRefusal } from '../metrics/traffic.ts';
import { type Answer, renderAnswer } from './write-answer.ts';

const RETRY_AFTER_S = '1';

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
    // Nothing reads the stack. When many requests are refused at once, stacks would take most of their memory.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(failure.message);
    Error.stackTraceLimit = stackTraceLimit;
    this.failure = failure;
  }
}

/**
 * The one place that decides what a failure looks like.
 * @param headers further ones, names and values in turn.
 */
export function renderFailure(code: ErrorCode, message: string, ...headers: readonly string[]): Answer {
  const status = ERRORS[code];
  const retry = status === 503 ? ['retry-after', RETRY_AFTER_S] : [];
  return renderAnswer(status, errorBody(code, message), ...retry, ...headers);
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a failure looks like to the clients of a route, where that is otherwise. */
    renderFailure?: (failure: Failure, method: string) => Answer;
  }
}

/** Sends a failure through Fastify, with the headers that the reply has already. */
export function sendFailure(reply: FastifyReply, failure: Failure): FastifyReply {
  if (failure.refusal !== undefined) noteRefusal(reply.raw, failure.refusal);
  const { request } = reply;
  const render = request.is404 ? undefined : request.routeOptions.config.renderFailure;
  const { status, headers, body } =
    render?.(failure, request.method) ?? renderFailure(failure.code, failure.message);
  for (let i = 0; i < headers.length; i += 2) {
    // Fastify counts the bytes that leave: a long body may still be compressed.
    if (headers[i] !== 'content-length') void reply.header(headers[i], headers[i + 1]);
  }
  return reply.code(status).send(body);
}
