import bearerAuth, { type verifyBearerAuth } from '@fastify/bearer-auth';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BlockList } from 'node:net';
import { FailureError } from './error-replies.ts';
import { RateStore } from './rate-store.ts';
import { clientAddress } from './trust-proxy.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may ask without a token: anybody (`open`), and however often (`probe`). */
    access?: 'open' | 'probe';
  }
}

export interface AccessOptions {
  /**
   * The token is wanted as `Authorization: Bearer …` by every route that has no `access`; none when absent. It may become another
   * one while the server runs.
   */
  readonly access: { readonly token: string | undefined };
  /** Requests per second and client address; 0 for any number. */
  readonly rateLimit: number;
  /** Proxies whose forwarded headers count; none when absent. */
  readonly trustedProxies: BlockList | undefined;
}

/** What an orchestrator asks must be answered whoever asks, however often. */
export function isProbe({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.access === 'probe';
}

const RATE_WINDOW_MS = 1000;

/** Who may ask, and how often. Adds no hook where nothing is configured. */
export async function registerAccess(app: FastifyInstance, options: AccessOptions): Promise<void> {
  const { access, rateLimit: most } = options;
  if (most > 0) {
    await app.register(rateLimit, {
      global: false,
      max: most,
      timeWindow: RATE_WINDOW_MS,
      store: RateStore,
      // Only who is refused is told: the answers of the cache routes are written past the plugin's headers.
      addHeadersOnExceeding: {
        'x-ratelimit-limit': false,
        'x-ratelimit-remaining': false,
        'x-ratelimit-reset': false,
      },
      allowList: isProbe,
      ...(options.trustedProxies && { keyGenerator: clientAddress }),
      errorResponseBuilder: () =>
        new FailureError({
          code: 'CACHE_ERR_RATE_LIMITED',
          message: `More than ${most} requests per second came from this address.`,
          refusal: 'rate_limit',
        }),
    });
    // Before the token is looked at, and for unknown paths too: guesses count as requests.
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
  // There since the plugin was registered.
  return app.verifyBearerAuthFactory!({
    keys: token === undefined ? [] : [token],
    addHook: false,
    // Schemes of authentication are the same in any case: RFC 9110, section 11.1.
    specCompliance: 'rfc6749',
  });
}
