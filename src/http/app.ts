import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifySchemaCompiler,
  fastify,
} from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import type { RequestListener, Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { ZodType } from 'zod';
import { getHeapStatistics } from 'node:v8';
import { GarbageMeter, collectMinor } from '../base/garbage-meter.ts';
import type { Feed } from '../dashboard/feed.ts';
import type { ShardRouter } from '../shards/router.ts';
import { type AccessOptions, registerAccess } from './access.ts';
import { registerAdminRoutes } from './admin-routes.ts';
import { ByteBudget } from './byte-budget.ts';
import { registerCacheRoutes } from './cache-routes.ts';
import { DirectRequest } from './direct-request.ts';
import { drainBeforeClose } from './drain.ts';
import {
  answerConnect,
  failureOf,
  handleClientError,
  refuseExpectation,
  sendFailure,
} from './error-replies.ts';
import { finishAnswers } from './finish-answers.ts';
import { JsonBodies } from './json-body.ts';
import { LargeReplies } from './large-replies.ts';
import { Connections } from './connections.ts';
import { hasBody } from './no-body.ts';
import { registerOpenApi } from './openapi.ts';
import { MOST_HEADERS, checkHeads } from './request-head.ts';
import { type DoorLimits, FrontDoor } from './intake/front-door.ts';
import { createServer as createPlainServer } from './node-http.ts';
import { giveUpPlace, orderRequests } from './request-order.ts';
import { trustProxyOption } from './trust-proxy.ts';
import { type RequestSchemas, type SchemaLimits, requestSchemas } from './schemas.ts';
import { answerToUnknown, collectRoutes } from './unknown-routes.ts';
import type { Traffic } from '../metrics/traffic.ts';

declare module 'fastify' {
  interface FastifyInstance {
    traffic: Traffic;
  }
}

export interface AppOptions extends SchemaLimits, AccessOptions {
  readonly router: ShardRouter;
  /** Told of errors that nobody foresaw. */
  readonly onUnexpectedError: (error: Error) => void;
  readonly version: string;
  /** PEM texts; plain HTTP when absent. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly gzipThresholdBytes: number;
  /** Bytes of large request bodies that are held at once. */
  readonly bodyBudgetBytes: number;
  /** Bytes of bodies that have come before there is room for them. */
  readonly unreadBytes: number;
  /** Bytes of small answers that cannot leave yet. */
  readonly heldBytes: number;
  readonly mostTlsConnections: number;
  readonly collectEveryBytes: number;
  /** A body that has not been let in by then: 503. */
  readonly deadlineMs: number;
  readonly stats: () => Promise<object>;
  /** Of the dashboard. */
  readonly feed: Feed;
  readonly metrics: () => Promise<string>;
  /** Told of every request that is answered, and of connections that are cut off. */
  readonly traffic: Traffic;
  /** True from the signal on: `/ready` says 503, whether or not connections are still taken. */
  readonly isShuttingDown: () => boolean;
}

/**
 * How long a client may take, in ms: to send its headers; to send a whole request; to take nothing of an answer;
 * between two requests. All but the last are looked at now and then.
 */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const STALLED_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
const TIMEOUT_CHECK_INTERVAL_MS = 2000;
/** In JSON every character may be written as six: `\u0000`. */
const LONGEST_ESCAPE = 6;
const BODY_SLACK_BYTES = 4096;
const BUDGET_SWEEP_INTERVAL_MS = 50;
const DOOR_SWEEP_INTERVAL_MS = 100;
/** Share of the heap in use from which on no more requests are taken from connections. */
const FULL_HEAP_SHARE = 0.8;
/** A path of any length that Node lets through: the key's own rule says what is too long. */
const MAX_PATH_KEY_LENGTH = 2 ** 16;

/** What a small request takes of the heap, with its reply; and a connection, of which 16 KiB of a head may have come. */
const REQUEST_BYTES = 8 * 2 ** 10;
const CONNECTION_BYTES = 24 * 2 ** 10;

/**
 * Connections beyond the most there may be, for probes. A place is free again in a moment. With TLS, where it takes some
 * round trips and a client's own arithmetic, there are more: a share of the others, since each takes much memory.
 */
const RESERVE = 64;
const TLS_RESERVE_SHARE = 1 / 4;
const MAX_TLS_RESERVE = 256;
const MAX_WAITING = 64;

const SERVER_OPTIONS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
  // Asked for in a hook, where the answer has the shape of all errors.
  requireHostHeader: false,
  // A request without a body needs no stream for one.
  optimizeEmptyRequests: true,
  // Nor does a body: see ADR 14.
  IncomingMessage: DirectRequest,
};
const TLS_OPTIONS = { handshakeTimeout: HEADERS_TIMEOUT_MS, allowHalfOpen: true };

const nowMs = (): number => performance.now();

/** The Fastify application, without a port. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { router, maxKeyLength, maxValueBytes, gzipThresholdBytes, version, stats, metrics, traffic } =
    options;
  const bodyLimit = (maxKeyLength + maxValueBytes) * LONGEST_ESCAPE + BODY_SLACK_BYTES;
  const garbage = new GarbageMeter(options.collectEveryBytes, collectMinor);
  const mostRequests = mostUnanswered();
  const largeReplies = new LargeReplies(options.deadlineMs, nowMs, () => traffic.cutOff('slow_answer'));
  const bodies = new JsonBodies({
    limitBytes: bodyLimit,
    budget: new ByteBudget({
      totalBytes: options.bodyBudgetBytes,
      deadlineMs: options.deadlineMs,
      mostWaiters: Math.floor(mostRequests / 4),
      nowMs,
    }),
    garbage,
    mayWait: () => connections.unreadBytes < options.unreadBytes / 2,
    // Who waits behind one that is slow is to have its turn before the deadline.
    patienceMs: options.deadlineMs / 2,
    nowMs,
  });
  const handleError = (error: FastifyError, reply: FastifyReply): FastifyReply => {
    const failure = failureOf(error);
    if (failure.code === 'CACHE_ERR_INTERNAL') options.onUnexpectedError(error);
    return sendFailure(reply, failure);
  };
  const connections = new Connections(
    {
      stalledTimeoutMs: STALLED_TIMEOUT_MS,
      most: mostRequests,
      mostUnreadBytes: options.unreadBytes,
      mostHeldBytes: options.heldBytes,
      isHeapFull,
    },
    nowMs,
    traffic,
  );
  const door = new FrontDoor(doorLimits(mostRequests, options), connections, nowMs, traffic);
  const createServer = (handler: RequestListener): Server => {
    const server = options.tls
      ? createSecureServer({ ...SERVER_OPTIONS, ...TLS_OPTIONS, ...options.tls })
      : createPlainServer(SERVER_OPTIONS);
    door.guard(server, handler, refuseExpectation);
    return server;
  };
  const schemas = requestSchemas({ maxKeyLength, maxValueBytes });
  const compile = compileValidator(schemas);
  const app: FastifyInstance = fastify({
    // Given a logger, Fastify makes a child of it and two listeners for every request.
    logger: false,
    bodyLimit,
    serverFactory: createServer,
    // Fastify itself only needs to know that there is a certificate.
    ...(options.tls && { https: {} }),
    // Given here, or Fastify loads compilers of its own first.
    schemaController: {
      compilersFactory: {
        // Fastify types it by the compiler that it would load.
        buildValidator: () => compile as never,
        buildSerializer: () => () => JSON.stringify,
      },
    },
    // What was accepted is answered, and its connection then closed.
    return503OnClosing: false,
    trustProxy: trustProxyOption(options.trustedProxies),
    clientErrorHandler: handleClientError,
    frameworkErrors: (error, _request, reply) => void handleError(error, reply),
    routerOptions: { maxParamLength: MAX_PATH_KEY_LENGTH },
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { raw } = request;
    giveUpPlace(request);
    if (raw instanceof DirectRequest && hasBody(raw.headers)) raw.discardBody();
    // Fastify would close the connection of any body that it could not parse; one that has come whole is no harm.
    if (raw.complete || !hasBody(raw.headers)) void reply.removeHeader('connection');
    return handleError(error, reply);
  });
  orderRequests(app);
  bodies.register(app);
  app.decorate('connections', connections);
  app.decorate('frontDoor', door);
  app.decorate('traffic', traffic);
  app.decorate('trustedProxies', options.trustedProxies);
  drainBeforeClose(app);
  // A client may close its side when it has asked, and still wants the answer. Of one header too many the rest is not
  // kept: thousands of short ones would take ten times their bytes.
  Object.assign(app.server, { httpAllowHalfOpen: true, maxHeadersCount: MOST_HEADERS + 1 });
  // Else Node's parser is fed past the stream, and loses what TLS has decrypted when the stream is paused.
  app.server.on('secureConnection', (socket: Socket) => socket.on('data', () => undefined));
  answerConnect(app.server);
  const methodsOf = collectRoutes(app, traffic.kinds);

  await registerAccess(app, options);
  finishAnswers(app, gzipThresholdBytes);
  await registerOpenApi(app, { version, hasToken: options.access.token !== undefined });
  await app.register((cache, _options, done) => {
    registerCacheRoutes(cache, {
      router,
      schemas,
      gzipThresholdBytes,
      garbage,
      largeReplies,
      connections,
      admitBody: bodies.admit,
    });
    done();
  });
  const sweepTimer = setInterval(() => {
    bodies.sweep();
    if (router.awaitsReplyRoom) largeReplies.cutOffSlow();
  }, BUDGET_SWEEP_INTERVAL_MS);
  const stallTimer = setInterval(() => connections.cutOffStalled(door, nowMs()), TIMEOUT_CHECK_INTERVAL_MS);
  const doorTimer = setInterval(() => door.sweep(), DOOR_SWEEP_INTERVAL_MS);
  for (const timer of [sweepTimer, stallTimer, doorTimer]) {
    timer.unref();
    app.addHook('onClose', () => clearInterval(timer));
  }
  await registerAdminRoutes(app, {
    router,
    version,
    stats,
    metrics,
    isShuttingDown: options.isShuttingDown,
    schemas,
    hasToken: options.access.token !== undefined,
    feed: options.feed,
    gzipThresholdBytes,
  });
  checkHeads(app, answerToUnknown(app, methodsOf));
  await app.ready();
  return app;
}

function doorLimits(mostRequests: number, { tls, mostTlsConnections }: AppOptions): DoorLimits {
  // Each may hold the head of a request that is not whole; with TLS it holds much more, outside the heap.
  const mostConnections = Math.floor((mostRequests * REQUEST_BYTES) / CONNECTION_BYTES);
  if (tls === undefined) return { maxConnections: mostConnections, reserve: RESERVE, waiting: MAX_WAITING };
  const maxConnections = Math.min(mostConnections, mostTlsConnections);
  const reserve = Math.min(Math.ceil(maxConnections * TLS_RESERVE_SHARE), MAX_TLS_RESERVE);
  return { maxConnections, reserve, waiting: MAX_WAITING };
}

/** Validates by the schema, unless a request is obviously right. */
function compileValidator({ obvious }: RequestSchemas): FastifySchemaCompiler<ZodType> {
  return (route) => {
    const validate = validatorCompiler(route);
    const isObvious = obvious.get(route.schema);
    if (isObvious === undefined) return validate;
    return (data: unknown) => isObvious(data) || validate(data);
  };
}

function isHeapFull(): boolean {
  const { heap_size_limit: most, used_heap_size: used } = getHeapStatistics();
  return used > most * FULL_HEAP_SHARE;
}

/** Requests without an answer that may be held at once: they take half of what is free. */
function mostUnanswered(): number {
  const { heap_size_limit: most, used_heap_size: used } = getHeapStatistics();
  return Math.min(Math.floor((most - used) / 2 / REQUEST_BYTES), 2 ** 16);
}
