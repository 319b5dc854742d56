import type { FastifyRequest } from 'fastify';
import { isTrustedProxy } from './trust-proxy.ts';

const MAX_PREFIX_LENGTH = 256;
/** Segments of unreserved characters (RFC 3986, section 2.3), but neither `.` nor `..`. */
const PREFIX = /^(?:\/(?!\.\.?(?:\/|$))[\w.~-]+)+\/?$/;

/**
 * The path under which a trusted proxy serves this server, without a slash at the end; empty if there is none.
 * It is put into documents that clients follow. So anything that is not plainly a path is ignored.
 */
export function forwardedPrefix(request: FastifyRequest): string {
  const prefix = request.headers['x-forwarded-prefix'];
  if (typeof prefix !== 'string' || prefix.length > MAX_PREFIX_LENGTH || !PREFIX.test(prefix)) return '';
  if (!isTrustedProxy(request)) return '';
  return prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
}
