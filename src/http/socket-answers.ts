import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Answer, writeAnswer } from './write-answer.ts';
import { whenAnswered } from './intake/account.ts';
import { renderFailure } from './failures.ts';
import { STATUS_CODES } from './fast/node-http.ts';

/** How long a client may take to read why its connection is closed, and to close its side. */
const LINGER_MS = 500;

const TIMEOUT = renderFailure('CACHE_ERR_REQUEST_TIMEOUT', 'The request did not arrive in time.');
const HEADERS_TOO_LARGE = renderFailure(
  'CACHE_ERR_HEADERS_TOO_LARGE',
  'Request line and headers must fit in 16 KiB.',
);
const NOT_HTTP = renderFailure('CACHE_ERR_REQUEST_INVALID', 'The request is not valid HTTP/1.1.');
const NO_CONNECT = renderFailure('CACHE_ERR_METHOD_NOT_ALLOWED', 'CONNECT is not allowed here.');
const EXPECTATION = renderFailure(
  'CACHE_ERR_EXPECTATION_FAILED',
  'The only expectation that can be met is 100-continue.',
);

/** Answers bytes that are no valid request, after the requests before them, and closes the connection. */
export function handleClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // Chosen now, so that the error is not kept: it refers to the bytes that could not be parsed.
  const answer = answerToError(error.code);
  whenAnswered(socket, () => endWith(socket, answer));
}

function answerToError(code: string | undefined): Answer {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return TIMEOUT;
  return code === 'HPE_HEADER_OVERFLOW' ? HEADERS_TOO_LARGE : NOT_HTTP;
}

/** Node itself would answer without a body. */
export function refuseExpectation(_request: IncomingMessage, response: ServerResponse): void {
  writeAnswer(response, EXPECTATION);
}

/** Node itself would close the connection without an answer. */
export function answerConnect(server: Server): void {
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // Node no longer listens to a socket that it gives away, and an error without a listener ends the process.
    socket.on('error', () => socket.destroy());
    whenAnswered(socket, () => endWith(socket, NO_CONNECT));
  });
}

/** Writes an answer past Node's HTTP layer, and closes the connection. */
function endWith(socket: Socket, { status, headers, body }: Answer): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  socket.end(`${head}connection: close\r\n\r\n${body}`, 'latin1');
  // Node's timeouts no longer apply to this connection. The timeout of a socket would start again with every byte.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}
