import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MAX_METADATA_TEXT_BYTES } from '../shared/segment-sizes.ts';
import {
  type Conditions,
  DEFAULT_TYPE,
  NO_CONDITIONS,
  type PutOptions,
  type Tags,
} from '../shared/raw-entries.ts';
import { MAX_TTL_S } from '../api/request-schemas.ts';
import { type Failure, sendFailure } from './failures.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** What the body is said to be, for entries that keep it. */
    contentType: string | Failure;
  }
}

export { DEFAULT_TYPE };

/** What the entity tag of a gzip form has behind that of the value: RFC 9110, section 8.8.3.3. */
export const GZIP_SUFFIX = '-gzip';

/** One entity tag of a list, or the end of it: RFC 9110, section 8.8.3. */
const TAG = /\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)/y;

/**
 * The conditions of a request: RFC 9110, section 13.1. `If-Match` compares strongly, so a weak tag in it matches nothing.
 * `If-None-Match` compares weakly.
 */
function conditionsOf(headers: IncomingHttpHeaders): Conditions | Failure {
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (match === undefined && noneMatch === undefined) return NO_CONDITIONS;
  const ifMatch = match === undefined ? undefined : tagsOf(match, false);
  const ifNoneMatch = noneMatch === undefined ? undefined : tagsOf(noneMatch, true);
  if (ifMatch === null) return invalidTags('If-Match');
  if (ifNoneMatch === null) return invalidTags('If-None-Match');
  return { ifMatch, ifNoneMatch };
}

/** @returns null for what is no list of tags. */
function tagsOf(field: string, isWeakEnough: boolean): Tags | null {
  const text = field.trim();
  if (text === '*') return '*';
  const tags: string[] = [];
  TAG.lastIndex = 0;
  while (TAG.lastIndex < text.length) {
    const found = TAG.exec(text);
    if (!found) return null;
    const [, weak, tag] = found;
    if (weak !== undefined && !isWeakEnough) continue;
    tags.push(tag.endsWith(GZIP_SUFFIX) ? tag.slice(0, -GZIP_SUFFIX.length) : tag);
  }
  return text === '' ? null : tags;
}

/** Whether a client has named the gzip form of a value. */
export function namesGzipForm(headers: IncomingHttpHeaders, tag: string): boolean {
  return headers['if-none-match']?.includes(`"${tag}${GZIP_SUFFIX}"`) === true;
}

function invalidTags(header: string): Failure {
  return {
    code: 'CACHE_ERR_REQUEST_INVALID',
    message: `${header} must be * or a list of entity tags, each in double quotes.`,
  };
}

const MAX_AGE = /(?:^|[\s,])max-age\s*=\s*("?)([^\s,"]*)\1/i;
const SECONDS = /^\d+(?:\.\d+)?$/;

/** The lifetime of an entry in ms, 0 for none. `ttl` in the query wins over `X-TTL`, and that over `Cache-Control`. */
function ttlMsOf({ query, raw: { headers } }: FastifyRequest): number | Failure {
  const { ttl } = query as { readonly ttl?: string | string[] };
  if (ttl !== undefined) return toMs('ttl', ttl);
  const header = headers['x-ttl'];
  if (header !== undefined) return toMs('X-TTL', header);
  const maxAge = headers['cache-control'] === undefined ? null : MAX_AGE.exec(headers['cache-control']);
  return maxAge ? toMs('max-age', maxAge[2]) : 0;
}

function toMs(name: string, text: string | readonly string[]): number | Failure {
  return secondsToMs(name, typeof text === 'string' && SECONDS.test(text) ? Number(text) : 0);
}

/** A lifetime as shards take it. @param name of the field that says it. */
export function secondsToMs(name: string, seconds: number): number | Failure {
  if (seconds > 0 && seconds <= MAX_TTL_S) return Math.ceil(seconds * 1000);
  return {
    code: 'CACHE_ERR_TTL_INVALID',
    message: `${name} must be a positive number of seconds, at most ten years; leave it out for no expiry.`,
  };
}

/** A header that is kept with an entry. */
export function keptHeader(headers: IncomingHttpHeaders, name: string): string | Failure {
  const text = headers[name];
  if (text === undefined) return '';
  if (typeof text === 'string' && text.length <= MAX_METADATA_TEXT_BYTES) return text;
  return {
    code: 'CACHE_ERR_REQUEST_INVALID',
    message: `${name} must have at most ${MAX_METADATA_TEXT_BYTES} characters.`,
  };
}

/** A body that is a part of a value would replace the whole of it: RFC 9110, section 14.4. */
function faultOfRange(headers: IncomingHttpHeaders): Failure | undefined {
  if (headers['content-range'] === undefined) return undefined;
  return {
    code: 'CACHE_ERR_REQUEST_INVALID',
    message: 'A value can be put only as a whole, without Content-Range.',
  };
}

/** Takes the content type away from Fastify, which would refuse a body of a type that is not valid, or has no parser. */
export function keepContentType(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const { headers } = request;
  // A GET has none, and to delete from an object makes it slower.
  if (headers['content-type'] !== undefined) {
    request.contentType = keptHeader(headers, 'content-type');
    delete headers['content-type'];
  }
  done();
}

/** How a value is to be stored, by the head of its PUT. */
export function putOptionsOf(request: FastifyRequest): PutOptions | Failure {
  const { contentType, headers } = request;
  if (typeof contentType !== 'string') return contentType;
  const contentEncoding = keptHeader(headers, 'content-encoding');
  if (typeof contentEncoding !== 'string') return contentEncoding;
  const ttlMs = ttlMsOf(request);
  if (typeof ttlMs !== 'number') return ttlMs;
  const conditions = conditionsOf(headers);
  if ('code' in conditions) return conditions;
  return (
    faultOfRange(headers) ?? {
      ttlMs,
      contentType: contentType || DEFAULT_TYPE,
      contentEncoding,
      headers: ['', ''],
      conditions,
    }
  );
}

/** Calls back with the conditions of a request, or answers that they are not valid. */
export function withConditions(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  goOn: (conditions: Conditions) => void,
): void {
  const conditions = conditionsOf(headers);
  if ('code' in conditions) sendFailure(reply, conditions);
  else goOn(conditions);
}
