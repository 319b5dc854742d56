import { expect, test } from 'vitest';
import { ERRORS, errorBody } from '../../src/api/errors.ts';

test('codes and statuses stay what clients have been told', () => {
  expect(ERRORS).toStrictEqual({
    CACHE_ERR_KEY_INVALID: 400,
    CACHE_ERR_VALUE_INVALID: 400,
    CACHE_ERR_TTL_INVALID: 400,
    CACHE_ERR_UNKNOWN_PROPERTY: 400,
    CACHE_ERR_BODY_INVALID: 400,
    CACHE_ERR_REQUEST_INVALID: 400,
    CACHE_ERR_UNAUTHORIZED: 401,
    CACHE_ERR_FORBIDDEN: 403,
    CACHE_ERR_VALUE_NOT_TEXT: 406,
    CACHE_ERR_PRECONDITION_FAILED: 412,
    CACHE_ERR_KEY_NOT_FOUND: 404,
    CACHE_ERR_ROUTE_NOT_FOUND: 404,
    CACHE_ERR_METHOD_NOT_ALLOWED: 405,
    CACHE_ERR_REQUEST_TIMEOUT: 408,
    CACHE_ERR_VALUE_TOO_LARGE: 413,
    CACHE_ERR_BODY_TOO_LARGE: 413,
    CACHE_ERR_MEDIA_TYPE_UNSUPPORTED: 415,
    CACHE_ERR_EXPECTATION_FAILED: 417,
    CACHE_ERR_RATE_LIMITED: 429,
    CACHE_ERR_HEADERS_TOO_LARGE: 431,
    CACHE_ERR_INTERNAL: 500,
    CACHE_ERR_BUSY: 503,
    CACHE_ERR_SHARD_BUSY: 503,
    CACHE_ERR_SHARD_UNAVAILABLE: 503,
    CACHE_ERR_SHARD_DEADLINE: 503,
    CACHE_ERR_NOT_READY: 503,
  });
});

test('an error body has status, code and message', () => {
  expect(errorBody('CACHE_ERR_KEY_NOT_FOUND', 'Key not found.')).toStrictEqual({
    status: 'ERROR',
    code: 'CACHE_ERR_KEY_NOT_FOUND',
    message: 'Key not found.',
  });
});
