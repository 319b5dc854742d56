import bearerAuth, { type verifyBearerAuth } from '@fastify/bearer-auth';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BlockList } from 'node:net';
import { FailureError } from './failures.ts';
import { RateStore } from './rate-store.ts';
import { clientAddress } from './trust-proxy.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether clients may ask without a token (`open`), and as often as they like as well (`probe`). */
    access?: 'open' | 'probe';
  }
}

export interface AccessOptions {
  /**
   * Routes without `access` require this token as `Authorization: Bearer …`. Without a token, they require none. It may change
   * while the server runs.
   */
  readonly access: { readonly token: string | undefined };
  /** Requests per second and client address; 0 means no limit. */
  readonly rateLimit: number;
  /** Proxies whose forwarded headers are believed. */
  readonly trustedProxies: BlockList | undefined;
}

/** When Fastify has found the route, the route decides: another method on the path of a probe is no probe. */
export function isProbeRoute({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.access === 'probe';
}

const RATE_WINDOW_MS = 1000;

/** Checks tokens and rates. Adds no hook where neither is configured. */
export async function registerAccess(app: FastifyInstance, options: AccessOptions): Promise<void> {
  const { access, rateLimit: maxPerSecond } = options;
  if (maxPerSecond > 0) {
    await app.register(rateLimit, {
      global: false,
      max: maxPerSecond,
      timeWindow: RATE_WINDOW_MS,
      store: RateStore,
      // Only refusals have these headers: the cache routes write their answers past Fastify, without its headers.
      addHeadersOnExceeding: {
        'x-ratelimit-limit': false,
        'x-ratelimit-remaining': false,
        'x-ratelimit-reset': false,
      },
      allowList: isProbeRoute,
      ...(options.trustedProxies && { keyGenerator: clientAddress }),
      errorResponseBuilder: () =>
        new FailureError({
          code: 'CACHE_ERR_RATE_LIMITED',
          message: `More than ${maxPerSecond} requests per second came from this address.`,
          refusal: 'rate_limit',
        }),
    });
    // Before the token is checked, and for unknown paths too: each guess counts as a request.
    app.addHook('onRequest', app.rateLimit());
  }
  if (access.token === undefined) return;
  await app.register(bearerAuth, { keys: [], addHook: false });
  let token: string | undefined = access.token;
  let verify = verifierOf(app, token);
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.access !== undefined) {
      done();
      return;
    }
    if (token !== access.token) {
      token = access.token;
      verify = verifierOf(app, token);
    }
    verify(request, reply, (error?: Error) => {
      if (!error) {
        done();
        return;
      }
      void reply.header('www-authenticate', 'Bearer');
      done(
        new FailureError({
          code: 'CACHE_ERR_UNAUTHORIZED',
          message: 'This server wants "Authorization: Bearer <token>" with its token.',
          refusal: 'unauthorized',
        }),
      );
    });
  });
}

/** Compares in constant time. */
function verifierOf(app: FastifyInstance, token: string | undefined): verifyBearerAuth {
  // The plugin has added it.
  return app.verifyBearerAuthFactory!({
    keys: token === undefined ? [] : [token],
    addHook: false,
    // The case of a scheme's name means nothing: RFC 9110, section 11.1.
    specCompliance: 'rfc6749',
  });
}
