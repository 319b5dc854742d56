import type { ServerResponse } from 'node:http';
import { ERRORS, type ErrorCode, errorBody } from '../api/errors.ts';
import { STATUS_CODES } from './node-http.ts';

export const JSON_TYPE = 'application/json; charset=utf-8';
/** As `Cache-Control` of all JSON: what it says may be another thing a moment later. */
export const NO_STORE = 'no-store';

/** An answer that is made once, and written straight to Node's response. All of it is ASCII: characters are bytes. */
export interface ConstantAnswer {
  readonly status: number;
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: string[];
  readonly body: string;
}

/** Of every JSON answer. The raw bytes of an entry will say how long they live instead of `no-store`. */
export function jsonHeaders(bytes: number): string[] {
  return ['content-type', JSON_TYPE, 'content-length', String(bytes), 'cache-control', NO_STORE];
}

/** @param headers further ones, names and values in turn. */
export function constantAnswer(status: number, value: object, ...headers: readonly string[]): ConstantAnswer {
  const body = JSON.stringify(value);
  return { status, headers: [...jsonHeaders(body.length), ...headers], body };
}

/** @param headers further ones, names and values in turn. */
export function constantFailure(
  code: ErrorCode,
  message: string,
  ...headers: readonly string[]
): ConstantAnswer {
  const status = ERRORS[code];
  const retry = status === 503 ? ['retry-after', '1'] : [];
  return constantAnswer(status, errorBody(code, message), ...retry, ...headers);
}

export function writeAnswer(response: ServerResponse, { status, headers, body }: ConstantAnswer): void {
  response.writeHead(status, STATUS_CODES[status], headers);
  response.end(body, 'latin1');
}
