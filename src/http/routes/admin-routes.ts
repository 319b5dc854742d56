import type { FastifyInstance } from 'fastify';
import type { HttpRouter } from '../../shards/router.ts';
import type { FeedSource } from '../../dashboard/feed.ts';
import type { RequestSchemas } from '../../api/request-schemas.ts';
import { isProbeRoute } from '../access.ts';
import { DashboardPage, registerDashboardFiles, registerDashboardPage } from './dashboard-page.ts';
import { registerEntryRoute, registerFeed } from './dashboard-routes.ts';
import { registerDocs } from './docs-page.ts';
import { sendFailure } from '../failures.ts';
import { METRICS_TYPE } from '../../metrics/text-writer.ts';
import { PROBE_PATHS } from '../intake/probe.ts';
import { registerKeysRoute } from './keys-route.ts';
import { registerOpenApiRoute } from './openapi.ts';
import { accountOf } from '../intake/account.ts';
import { whenClosed } from '../intake/when-closed.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import { registerRoot } from './root-page.ts';

export interface AdminRouteOptions {
  readonly router: HttpRouter;
  readonly version: string;
  /** What `/stats` reports, computed for each request. */
  readonly stats: () => Promise<object>;
  /** The text that `/metrics` answers, likewise. */
  readonly metrics: () => Promise<string>;
  readonly isShuttingDown: () => boolean;
  readonly schemas: RequestSchemas;
  readonly hasToken: boolean;
  readonly feed: FeedSource;
  readonly gzipThresholdBytes: number;
}

/** The start page, health, readiness, statistics, and the description of the API. */
export async function registerAdminRoutes(app: FastifyInstance, options: AdminRouteOptions): Promise<void> {
  const { router, version, isShuttingDown, gzipThresholdBytes, schemas, feed } = options;
  // Outside of the common bound: the feed lasts as long as somebody watches, and a browser asks for all files at once.
  registerFeed(app, feed);
  registerDashboardFiles(app, gzipThresholdBytes);

  await app.register((admin, _options, done) => {
    boundAnswers(admin);
    const page = new DashboardPage(version, options.hasToken);
    registerRoot(admin, version, page);
    registerDashboardPage(admin, page);
    registerEntryRoute(admin, { router, schemas });
    registerKeysRoute(admin, { router, schemas });
    registerDocs(admin, gzipThresholdBytes);
    registerOpenApiRoute(admin);

    admin.get(
      PROBE_PATHS.health,
      {
        config: { access: 'probe' },
        schema: {
          operationId: 'getHealth',
          summary: 'Liveness',
          description: 'Is answered as long as the process serves; says how each shard is.',
          tags: ['operation'],
          response: { 200: responseSchemas.health, ...errorResponses(400) },
        },
      },
      () => ({
        status: 'OK',
        uptimeSeconds: Math.floor(process.uptime()),
        shards: router.shards.map(({ number, state, restarts }) => ({ shard: number, state, restarts })),
      }),
    );

    admin.get(
      PROBE_PATHS.ready,
      {
        config: { access: 'probe' },
        schema: {
          operationId: 'getReady',
          summary: 'Readiness',
          description: 'While the server starts or shuts down, or one of its shards does not serve: 503.',
          tags: ['operation'],
          response: { 200: responseSchemas.ready, ...errorResponses(400, 503) },
        },
      },
      (_request, reply) => {
        if (router.isReady && !isShuttingDown()) return { status: 'OK' };
        const why = isShuttingDown() ? 'The server is shutting down.' : 'Not every shard is up.';
        return sendFailure(reply, { code: 'CACHE_ERR_NOT_READY', message: why });
      },
    );

    registerReports(admin, options);
    done();
  });
}

/** What the server counts: for people and programs, and for Prometheus. */
function registerReports(admin: FastifyInstance, { version, stats, metrics }: AdminRouteOptions): void {
  admin.get(
    '/stats',
    {
      schema: {
        operationId: 'getStats',
        summary: 'Statistics',
        description:
          'Totals, one row per shard, memory, connections, refusals, and the configuration in force.',
        tags: ['operation'],
        response: { 200: responseSchemas.stats, ...errorResponses(400, 500, 503) },
      },
    },
    async () => ({ status: 'OK', version, ...(await stats()) }),
  );

  admin.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        summary: 'Metrics for Prometheus',
        description: 'Text format 0.0.4. Counts everything that `/stats` does, and how long requests took.',
        tags: ['operation'],
        response: { 200: responseSchemas.metrics, ...errorResponses(400, 500, 503) },
      },
    },
    async (_request, reply) => {
      void reply.header('content-type', METRICS_TYPE);
      return metrics();
    },
  );
}

/** Each of these answers is made for one request, and held until its client has taken it. */
function boundAnswers(admin: FastifyInstance): void {
  admin.addHook('onRequest', (request, reply, done) => {
    const account = accountOf(request.raw.socket);
    // Probes are short, and matter most when the server is busy.
    if (account === undefined || isProbeRoute(request)) {
      done();
    } else if (account.charge('adminAnswers', 1)) {
      whenClosed(reply.raw, () => account.release('adminAnswers', 1));
      done();
    } else {
      account.release('adminAnswers', 1);
      sendFailure(reply, {
        code: 'CACHE_ERR_BUSY',
        message: 'Too many of these are being answered already.',
        refusal: 'admin',
      });
    }
  });
}
