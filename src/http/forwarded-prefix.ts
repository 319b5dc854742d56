import type { FastifyRequest } from 'fastify';
import { isTrustedProxy } from './trust-proxy.ts';

const LONGEST = 256;
/** Segments of unreserved characters (RFC 3986, section 2.3), none of which leads upwards. */
const PREFIX = /^(?:\/(?!\.\.?(?:\/|$))[\w.~-]+)+\/?$/;

/**
 * The path under which a proxy that is trusted serves this server, without a slash at its end; empty where there is none.
 * It comes to lie in documents that clients ask by: whatever is not plainly a path counts as none.
 */
export function forwardedPrefix(request: FastifyRequest): string {
  const prefix = request.headers['x-forwarded-prefix'];
  if (typeof prefix !== 'string' || prefix.length > LONGEST || !PREFIX.test(prefix)) return '';
  if (!isTrustedProxy(request)) return '';
  return prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
}
