import type { FastifyInstance, FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Cleared, ShardRouter } from '../shards/router.ts';
import { GzipNegotiation } from './accept-gzip.ts';
import { FailureError } from './error-replies.ts';
import { hasHeader } from './has-header.ts';
import { refuseBody } from './json-body.ts';
import { DeleteExchange, GetExchange, type GetOptions, PutExchange, writeFailure } from './exchanges.ts';
import { inOrder } from './request-order.ts';
import { type RequestSchemas, errorResponses, responseSchemas } from './schemas.ts';

export interface CacheRouteOptions extends GetOptions {
  readonly router: ShardRouter;
  readonly schemas: RequestSchemas;
  /** Lets a body be read when there is room for it. */
  readonly admitBody: preParsingHookHandler;
}

interface PutBody {
  readonly key: string;
  readonly value: string;
  readonly ttl?: number | undefined;
}

/** Fastify takes a malformed percent-encoding literally, and another key would be looked up. */
function refuseMalformedQuery(
  { url }: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Error) => void,
): void {
  try {
    if (url.includes('%')) decodeURIComponent(url);
    done();
  } catch {
    done(
      new FailureError({
        code: 'CACHE_ERR_REQUEST_INVALID',
        message: 'The query is not valid percent-encoding.',
      }),
    );
  }
}

/** Both families of paths: `/cache` and `/put`, `/get`. They are the same cache. */
export function registerCacheRoutes(instance: FastifyInstance, options: CacheRouteOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { router, schemas, admitBody } = options;
  const negotiation = new GzipNegotiation();

  function get(key: string, request: FastifyRequest, reply: FastifyReply): void {
    const { raw } = request;
    const acceptsGzip =
      hasHeader(raw, 'accept-encoding') && negotiation.accepts(raw.headers['accept-encoding']);
    const exchange = new GetExchange(reply, options);
    inOrder(request, () => router.get(key, acceptsGzip, exchange));
  }

  function put(request: FastifyRequest, body: PutBody, exchange: PutExchange): void {
    const ttlMs = body.ttl === undefined ? 0 : Math.ceil(body.ttl * 1000);
    inOrder(request, () => router.put(body.key, body.value, ttlMs, exchange));
  }

  const found = { 200: responseSchemas.found, ...errorResponses(400, 404, 503, 500) };
  const putErrors = errorResponses(400, 413, 415, 503, 500);

  app.put(
    '/cache',
    {
      preParsing: admitBody,
      schema: {
        summary: 'Store an entry',
        tags: ['cache'],
        body: schemas.putBody,
        response: { 201: responseSchemas.stored, ...putErrors },
      },
    },
    (request, reply) => put(request, request.body, new PutExchange(reply, 201)),
  );

  app.post(
    '/put',
    {
      preParsing: admitBody,
      schema: {
        summary: 'Store an entry',
        tags: ['cache, short paths'],
        body: schemas.putBody,
        response: { 200: responseSchemas.stored, ...putErrors },
      },
    },
    (request, reply) => put(request, request.body, new PutExchange(reply, 200)),
  );

  app.get(
    '/cache/:key',
    { schema: { summary: 'Read an entry', tags: ['cache'], params: schemas.keyInPath, response: found } },
    (request, reply) => get(request.params.key, request, reply),
  );

  app.get(
    '/get',
    {
      schema: {
        summary: 'Read an entry',
        tags: ['cache, short paths'],
        querystring: schemas.keyInQuery,
        response: found,
      },
      preValidation: refuseMalformedQuery,
    },
    (request, reply) => get(request.query.key, request, reply),
  );

  app.delete(
    '/cache/:key',
    {
      onRequest: refuseBody,
      schema: {
        summary: 'Delete an entry',
        tags: ['cache'],
        params: schemas.keyInPath,
        response: { 204: responseSchemas.deleted, ...errorResponses(400, 404, 503, 500) },
      },
    },
    (request, reply) => {
      const exchange = new DeleteExchange(reply);
      inOrder(request, () => router.delete(request.params.key, exchange));
    },
  );

  app.delete(
    '/cache',
    {
      onRequest: refuseBody,
      schema: {
        summary: 'Empty the cache',
        tags: ['cache'],
        response: { 200: responseSchemas.cleared, ...errorResponses(503, 500) },
      },
    },
    async (request, reply) => {
      const cleared = await new Promise<Cleared>((resolve) => {
        inOrder(request, () => resolve(router.clear()));
      });
      if ('removed' in cleared) return { status: 'OK' as const, removed: cleared.removed };
      reply.hijack();
      writeFailure(reply.raw, cleared.failed);
      return reply;
    },
  );
}
