import { fastify } from 'fastify';
import { expect, test } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/api/errors.ts';
import { renderFailure, sendFailure } from '../../src/http/failures.ts';

const CODES = Object.keys(ERRORS) as ErrorCode[];
/** A message may repeat what the client sent. */
const MESSAGE = 'Unknown property "é".';

function namesAndValues(headers: readonly string[]): Record<string, string> {
  const places = headers.keys().filter((i) => i % 2 === 0);
  return Object.fromEntries(places.map((i) => [headers[i], headers[i + 1]]));
}

test.each(CODES)('%s has its status, the headers of all failures, and Retry-After only with 503', (code) => {
  const { status, headers, body } = renderFailure(code, MESSAGE);
  expect(status).toBe(ERRORS[code]);
  expect(JSON.parse(body)).toStrictEqual({ status: 'ERROR', code, message: MESSAGE });
  expect(namesAndValues(headers)).toStrictEqual({
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    ...(status === 503 && { 'retry-after': '1' }),
  });
});

test.each(CODES)('%s through Fastify is the same answer', async (code) => {
  const app = fastify();
  app.get('/', (_request, reply) => sendFailure(reply, { code, message: MESSAGE }));
  const { status, headers, body } = renderFailure(code, MESSAGE);
  const answer = await app.inject('/');
  expect([answer.statusCode, answer.body]).toStrictEqual([status, body]);
  expect(answer.headers).toMatchObject(namesAndValues(headers));
  await app.close();
});
