import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifySchemaCompiler,
  fastify,
} from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { ZodType } from 'zod';
import type { FeedSource } from '../dashboard/feed.ts';
import type { HttpRouter } from '../shards/router.ts';
import { type AccessOptions, registerRateLimit, registerTokens } from './access.ts';
import type { OriginList } from '../config/origin-list.ts';
import { answerPreflights, registerCors } from './cors.ts';
import { registerAdminRoutes } from './routes/admin-routes.ts';
import { registerBatchRoute } from './routes/batch-routes.ts';
import { registerCacheRoutes } from './routes/cache-routes.ts';
import { registerBuildToolRoutes } from './routes/build-tool-routes.ts';
import { readBodiesAsBytes, registerKvRoutes } from './routes/kv-routes.ts';
import { type Certificate, createServer } from './create-server.ts';
import { drainBeforeClose } from './drain.ts';
import { failureOf } from './failure-of-error.ts';
import { sendFailure } from './failures.ts';
import { DirectRequest, hasBody } from './fast/direct-request.ts';
import { type Report, checkInternals, collectMinor } from './fast/node-internals.ts';
import { finishAnswers } from './finish-answers.ts';
import { GarbageMeter } from './garbage-meter.ts';
import { Intake } from './intake/intake.ts';
import type { TrafficBytes } from './intake/limits.ts';
import type { ReplyWaits } from './intake/reply-waits.ts';
import { registerOpenApi } from './routes/openapi.ts';
import { checkHeads } from './request-head.ts';
import { type RequestSchemas, type SchemaLimits, requestSchemas } from '../api/request-schemas.ts';
import { handleClientError } from './socket-answers.ts';
import { trustProxyOption } from './trust-proxy.ts';
import { answerToUnknown, collectRoutes } from './routes/unknown-routes.ts';
import type { Traffic } from '../metrics/traffic.ts';

declare module 'fastify' {
  interface FastifyInstance {
    traffic: Traffic;
  }
}

export interface AppOptions extends SchemaLimits, AccessOptions, TrafficBytes {
  readonly router: HttpRouter;
  /** Called for each internal that has changed in this Node, with what the server does instead. */
  readonly onNodeChange: Report;
  /** Called with errors that should not happen. */
  readonly onUnexpectedError: (error: Error) => void;
  readonly version: string;
  /** Plain HTTP when absent. */
  readonly tls: Certificate | undefined;
  readonly gzipThresholdBytes: number;
  readonly maxTlsConnections: number;
  readonly collectEveryBytes: number;
  /** A body for which there is no room by then is refused. */
  readonly deadlineMs: number;
  readonly maxRawBytes: number;
  readonly corsOrigins: OriginList;
  readonly stats: () => Promise<object>;
  /** Of the dashboard. */
  readonly feed: FeedSource;
  readonly metrics: () => Promise<string>;
  /** Told of every request that is answered, and of connections that are cut off. */
  readonly traffic: Traffic;
  /** True from the signal on: `/ready` says 503, whether or not connections are still taken. */
  readonly isShuttingDown: () => boolean;
  /** Absent where there is one HTTP thread. */
  readonly replyWaits: ReplyWaits | undefined;
}

/** In JSON every character may be written as six: `\u0000`. */
const MAX_ESCAPE_LENGTH = 6;
const BODY_SLACK_BYTES = 4096;
/** Longer than any path that Node accepts. The schema of the key decides what is too long. */
const MAX_PATH_KEY_LENGTH = 2 ** 16;

/** The Fastify application, without a port. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { router, maxKeyLength, maxValueBytes, gzipThresholdBytes, traffic, replyWaits } = options;
  await checkInternals(options.onNodeChange);
  const garbage = new GarbageMeter(options.collectEveryBytes, collectMinor);
  const bodyLimitBytes = (maxKeyLength + maxValueBytes) * MAX_ESCAPE_LENGTH + BODY_SLACK_BYTES;
  const intake = new Intake({
    ...options,
    maxTlsConnections: options.tls && options.maxTlsConnections,
    bodyLimitBytes,
    garbage,
    awaitsReplyRoom: () => replyWaits?.note(router.awaitsReplyRoom) ?? router.awaitsReplyRoom,
  });
  const schemas = requestSchemas(options);
  const app = createFastify(options, intake, schemas, bodyLimitBytes);
  intake.register(app);
  app.decorate('traffic', traffic);
  app.decorate('trustedProxies', options.trustedProxies);
  drainBeforeClose(app);
  const methodsOf = collectRoutes(app, traffic.kinds);

  // The order of these is the order of their hooks: first rate and token, then the checks of the head.
  registerCors(app, options.corsOrigins);
  await registerRateLimit(app, options);
  answerPreflights(app, options.corsOrigins);
  registerTokens(app, options);
  finishAnswers(app, gzipThresholdBytes);
  const hasToken = options.access.token !== undefined;
  await registerOpenApi(app, { version: options.version, hasToken });
  const { bodies, largeReplies } = intake;
  await app.register((cache, _options, done) => {
    registerCacheRoutes(cache, {
      router,
      schemas,
      gzipThresholdBytes,
      garbage,
      largeReplies,
      admitBody: bodies.admit,
    });
    done();
  });
  await app.register((raw, _options, done) => {
    const { maxRawBytes } = options;
    const served = { router, schemas, gzipThresholdBytes, garbage, largeReplies, bodies, maxRawBytes };
    readBodiesAsBytes(raw);
    registerKvRoutes(raw, served);
    registerBuildToolRoutes(raw, served);
    registerBatchRoute(raw, served);
    done();
  });
  await registerAdminRoutes(app, { ...options, schemas, hasToken });
  checkHeads(app, answerToUnknown(app, methodsOf));
  await app.ready();
  return app;
}

function createFastify(
  { tls, trustedProxies, onUnexpectedError, maxRawBytes }: AppOptions,
  { door }: Intake,
  schemas: RequestSchemas,
  bodyLimit: number,
): FastifyInstance {
  const compile = compileValidator(schemas);
  const answerError = (error: FastifyError, reply: FastifyReply): FastifyReply => {
    const failure = failureOf(error);
    if (failure.code === 'CACHE_ERR_INTERNAL') onUnexpectedError(error);
    return sendFailure(reply, failure);
  };
  const app: FastifyInstance = fastify({
    // Given a logger, Fastify makes a child of it and two listeners for every request.
    logger: false,
    bodyLimit,
    serverFactory: (handler) => createServer(door, tls, handler, maxRawBytes),
    // Fastify itself only needs to know that there is a certificate.
    ...(tls && { https: {} }),
    // Given here, or Fastify loads compilers of its own first.
    schemaController: {
      compilersFactory: {
        // Fastify types this as the compiler that it loads by default.
        buildValidator: () => compile as never,
        buildSerializer: () => () => JSON.stringify,
      },
    },
    // Requests that were accepted are still answered. Their connections are then closed.
    return503OnClosing: false,
    trustProxy: trustProxyOption(trustedProxies),
    clientErrorHandler: handleClientError,
    frameworkErrors: (error, _request, reply) => void answerError(error, reply),
    routerOptions: { maxParamLength: MAX_PATH_KEY_LENGTH },
  });
  app.setErrorHandler((error: FastifyError, { raw }, reply) => {
    if (raw instanceof DirectRequest && hasBody(raw.headers)) raw.discardBody();
    // Fastify closes the connection after each body that it could not parse. After a complete body, that is not needed,
    // unless the server is closing or the client wants it closed.
    const isRead = raw.complete || !hasBody(raw.headers);
    const mayStay = reply.raw.shouldKeepAlive && !reply.raw.hasHeader('connection');
    if (reply.hasHeader('connection') && isRead && mayStay) void reply.header('connection', 'keep-alive');
    return answerError(error, reply);
  });
  return app;
}

/** Validates by the schema, unless the fast path accepts the request. */
function compileValidator({ fastPathValidators }: RequestSchemas): FastifySchemaCompiler<ZodType> {
  return (route) => {
    const validate = validatorCompiler(route);
    const fastPath = fastPathValidators.get(route.schema);
    if (fastPath === undefined) return validate;
    return (data: unknown) => fastPath(data) || validate(data);
  };
}
