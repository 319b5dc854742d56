import type { ServerResponse } from 'node:http';
import { STATUS_CODES } from './fast/node-http.ts';

/** `Cache-Control` of all JSON: the next request may find something else. */
export const NO_STORE = 'no-store';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** An answer in JSON, whole, for whichever layer writes it. */
export interface Answer {
  readonly status: number;
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: string[];
  readonly body: string;
}

/** The headers of every answer that is made for one request. */
export function answerHeaders(type: string, bytes: number): string[] {
  return ['content-type', type, 'content-length', String(bytes), 'cache-control', NO_STORE];
}

/** The headers of every JSON answer. */
export function jsonHeaders(bytes: number): string[] {
  return answerHeaders(JSON_TYPE, bytes);
}

/** @param headers further ones, names and values in turn. */
export function renderAnswer(status: number, value: object, ...headers: readonly string[]): Answer {
  const body = JSON.stringify(value);
  return { status, headers: [...jsonHeaders(Buffer.byteLength(body)), ...headers], body };
}

/** An answer in text, for clients that read no JSON. */
export function plainAnswer(status: number, text: string): Answer {
  return { status, headers: answerHeaders('text/plain', Buffer.byteLength(text)), body: text };
}

/** Writes straight to Node's response. The body must be ASCII: Latin-1 is the fastest way for a string to leave. */
export function writeAnswer(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, STATUS_CODES[status], headers);
  response.end(body, 'latin1');
}

/** `Vary` of what may be compressed. With CORS it depends on the origin as well, which a hook has said by then. */
export function varyByEncoding(response: ServerResponse): string {
  return response.hasHeader('vary') ? 'origin, accept-encoding' : 'accept-encoding';
}
