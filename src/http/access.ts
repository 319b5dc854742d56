import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BlockList } from 'node:net';
import { grantOf } from './credentials.ts';
import { type Failure, FailureError } from './failures.ts';
import { RateStore } from './rate-store.ts';
import { SharedRateStore } from './shared-rate-store.ts';
import { clientAddress } from './trust-proxy.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether clients may ask without a token (`open`), and as often as they like as well (`file` of a page, `probe`). */
    access?: 'open' | 'file' | 'probe';
    /** What changes nothing, or looks at `isReadOnly` itself, though its method says otherwise. */
    isRead?: true;
  }
  interface FastifyRequest {
    /** Whether its token may only read. Undefined where there are no tokens. */
    isReadOnly: boolean | undefined;
  }
}

export interface AccessOptions {
  /**
   * Routes without `access` require this token, or to read only, the other one. Without a token, they require none. They may
   * change while the server runs.
   */
  readonly access: { readonly token: string | undefined; readonly readToken: string | undefined };
  /** Requests per second and client address; 0 means no limit. */
  readonly rateLimit: number;
  /** Where several HTTP threads count requests together; absent where there is one. */
  readonly rateCells: SharedArrayBuffer | undefined;
  /** Proxies whose forwarded headers are believed. */
  readonly trustedProxies: BlockList | undefined;
}

/** When Fastify has found the route, the route decides: another method on the path of a probe is no probe. */
export function isProbeRoute({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.access === 'probe';
}

/** One page makes a browser ask for a dozen files: with a low limit no page would ever be whole. */
function isUnlimited(request: FastifyRequest): boolean {
  return isProbeRoute(request) || request.routeOptions.config.access === 'file';
}

const RATE_WINDOW_MS = 1000;

const UNAUTHORIZED: Failure = {
  code: 'CACHE_ERR_UNAUTHORIZED',
  message: 'This server wants "Authorization: Bearer <token>" with its token.',
  refusal: 'unauthorized',
};
export const READ_ONLY: Failure = {
  code: 'CACHE_ERR_FORBIDDEN',
  message: 'This token may only read.',
};
const READ_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Checks rates. Adds no hook where no limit is configured. */
export async function registerRateLimit(app: FastifyInstance, options: AccessOptions): Promise<void> {
  const { rateLimit: maxPerSecond, rateCells } = options;
  if (maxPerSecond === 0) return;
  // Not loaded where nothing needs it: its half MiB of the heap is room for ten connections.
  const { default: rateLimit } = await import('@fastify/rate-limit');
  await app.register(rateLimit, {
    global: false,
    max: maxPerSecond,
    timeWindow: RATE_WINDOW_MS,
    store: rateCells ? storeIn(rateCells) : RateStore,
    // Only refusals have these headers: the cache routes write their answers past Fastify, without its headers.
    addHeadersOnExceeding: {
      'x-ratelimit-limit': false,
      'x-ratelimit-remaining': false,
      'x-ratelimit-reset': false,
    },
    allowList: isUnlimited,
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

/** The plugin makes the store itself. */
function storeIn(cells: SharedArrayBuffer): new () => SharedRateStore {
  return class extends SharedRateStore {
    constructor() {
      super(cells);
    }
  };
}

/** Checks tokens. Adds no hook where none is configured. */
export function registerTokens(app: FastifyInstance, { access }: AccessOptions): void {
  if (access.token === undefined) return;
  app.decorateRequest('isReadOnly', undefined);
  app.addHook('onRequest', (request, reply, done) => {
    const { config } = request.routeOptions;
    if (config.access !== undefined) {
      done();
      return;
    }
    const grant = grantOf(request.headers.authorization, access);
    request.isReadOnly = grant === 'read';
    const isRead = READ_METHODS.has(request.method) || config.isRead === true || request.is404;
    if (grant === 'none') {
      void reply.header('www-authenticate', 'Bearer');
      done(new FailureError(UNAUTHORIZED));
    } else if (grant === 'read' && !isRead) {
      done(new FailureError(READ_ONLY));
    } else {
      done();
    }
  });
}
