import compress from '@fastify/compress';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import type { ShardRouter } from '../shards/router.ts';
import { sendFailure } from './error-replies.ts';
import { whenClosed } from './when-closed.ts';
import { errorResponses, responseSchemas } from './schemas.ts';

export interface AdminRouteOptions {
  readonly router: ShardRouter;
  readonly version: string;
  readonly gzipThresholdBytes: number;
  /** Everything that `/stats` says, made anew for each request. */
  readonly stats: () => Promise<object>;
  readonly isShuttingDown: () => boolean;
}

/** All from this server. The plugin's own policy would upgrade to HTTPS, which a server without TLS has not. */
const DOCS_POLICY =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'";

/** Health, readiness, statistics, and the API's own description. */
export async function registerAdminRoutes(app: FastifyInstance, options: AdminRouteOptions): Promise<void> {
  const { router, version, gzipThresholdBytes, stats, isShuttingDown } = options;

  await app.register(async (admin) => {
    if (gzipThresholdBytes > 0) {
      await admin.register(compress, { threshold: gzipThresholdBytes, encodings: ['gzip'] });
    }
    boundAnswers(admin);
    await admin.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_POLICY });

    admin.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());

    admin.get(
      '/health',
      { schema: { summary: 'Liveness', tags: ['operation'], response: { 200: responseSchemas.health } } },
      () => ({
        status: 'OK',
        uptimeSeconds: Math.floor(process.uptime()),
        shards: router.shards.map(({ number, state, restarts }) => ({ shard: number, state, restarts })),
      }),
    );

    admin.get(
      '/ready',
      {
        schema: {
          summary: 'Readiness',
          tags: ['operation'],
          response: { 200: responseSchemas.ready, ...errorResponses(503) },
        },
      },
      (_request, reply) => {
        if (router.isReady && !isShuttingDown()) return { status: 'OK' };
        const why = isShuttingDown() ? 'The server is shutting down.' : 'Not every shard is up.';
        return sendFailure(reply, { code: 'CACHE_ERR_NOT_READY', message: why });
      },
    );

    admin.get(
      '/stats',
      { schema: { summary: 'Statistics', tags: ['operation'], response: { 200: responseSchemas.stats } } },
      async () => ({ status: 'OK', version, ...(await stats()) }),
    );
  });
}

/** Such answers are made anew for each request, from files and through compression, and held until they are taken. */
const MOST_ANSWERS = 16;
/** Asked by those who are to know when there is much to do; short. */
const PROBES: ReadonlySet<string | undefined> = new Set(['/health', '/ready']);

function boundAnswers(admin: FastifyInstance): void {
  let answers = 0;
  admin.addHook('onRequest', (request, reply, done) => {
    if (PROBES.has(request.routeOptions.url)) {
      done();
    } else if (answers >= MOST_ANSWERS) {
      sendFailure(reply, {
        code: 'CACHE_ERR_BUSY',
        message: 'Too many of these are being answered already.',
      });
    } else {
      answers++;
      whenClosed(reply.raw, () => answers--);
      done();
    }
  });
}

/** Collects the routes registered after it into the OpenAPI document. */
export async function registerOpenApi(
  app: FastifyInstance,
  { version, hasToken }: { readonly version: string; readonly hasToken: boolean },
): Promise<void> {
  await app.register(swagger, {
    exposeHeadRoutes: true,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'key-value-cache',
        version,
        description:
          'An in-memory key-value cache. JSON in, JSON out; keys and values are ASCII. Any path may also answer ' +
          '401 (where a token is wanted), 408, 429 (where a rate limit is set), 431 and 503, in the shape of all errors.',
      },
      ...(hasToken && {
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
        security: [{ token: [] }],
      }),
    },
    transform: jsonSchemaTransform,
  });
}
