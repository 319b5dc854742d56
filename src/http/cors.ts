import type { FastifyInstance } from 'fastify';
import type { OriginList } from '../config/origin-list.ts';

const ALLOWED_METHODS = 'GET, HEAD, PUT, POST, DELETE';
const EXPOSED_HEADERS = 'ETag, X-TTL, Retry-After';
/** A day; browsers take less. */
const PREFLIGHT_MAX_AGE_S = '86400';

function isOff(origins: OriginList): boolean {
  return origins !== '*' && origins.size === 0;
}

/**
 * Lets the scripts of some origins read answers. The headers are set on Node's response. Answers of the cache are written
 * past Fastify, and would lose the headers that a plugin sets.
 */
export function registerCors(app: FastifyInstance, origins: OriginList): void {
  if (isOff(origins)) return;
  app.addHook('onRequest', ({ headers: { origin } }, { raw }, done) => {
    // What depends on the origin must not be kept for others.
    if (origins !== '*') raw.setHeader('vary', 'origin');
    if (origin !== undefined && (origins === '*' || origins.has(origin))) {
      raw.setHeader('access-control-allow-origin', origins === '*' ? '*' : origin);
      raw.setHeader('access-control-expose-headers', EXPOSED_HEADERS);
    }
    done();
  });
}

/** Answers what browsers ask before they send a request. They send no token with it. */
export function answerPreflights(app: FastifyInstance, origins: OriginList): void {
  if (isOff(origins)) return;
  app.addHook('onRequest', ({ method, headers }, reply, done) => {
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
      done();
      return;
    }
    const { raw } = reply;
    if (raw.hasHeader('access-control-allow-origin')) {
      void reply.header('access-control-allow-methods', ALLOWED_METHODS);
      // `*` would not include Authorization.
      const wanted = headers['access-control-request-headers'];
      if (wanted !== undefined) void reply.header('access-control-allow-headers', wanted);
      void reply.header('access-control-max-age', PREFLIGHT_MAX_AGE_S);
    }
    void reply.code(204).send();
  });
}
