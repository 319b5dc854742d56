import type { FastifyInstance, FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { HttpRouter } from '../../shards/router.ts';
import { acceptsGzip } from '../fast/accept-gzip.ts';
import { sendFailure } from '../failures.ts';
import { DeleteExchange, GetExchange, type GetOptions, PutExchange, writeFailure } from '../exchanges.ts';
import { refuseBody } from '../intake/no-body.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import type { RequestSchemas } from '../../api/request-schemas.ts';

export interface CacheRouteOptions extends GetOptions {
  readonly router: HttpRouter;
  readonly schemas: RequestSchemas;
  /** Lets a body be read when there is room for it. */
  readonly admitBody: preParsingHookHandler;
}

interface PutBody {
  readonly key: string;
  readonly value: string;
  readonly ttl?: number | undefined;
}

const NONE: readonly string[] = [];
const IN_PATH = 'In the path the key is percent-encoded, a slash as `%2F`.';
const GET_ERRORS = errorResponses(400, 404, 503, 500);
const READ_ERRORS = errorResponses(400, 404, 406, 503, 500);
const PUT_ERRORS = errorResponses(400, 413, 415, 503, 500);

/**
 * Both families of paths: `/cache` and `/put`, `/get`. They are the same cache. Every route says which parameters its
 * query may have: any other is refused by its name.
 */
export function registerCacheRoutes(app: FastifyInstance, options: CacheRouteOptions): void {
  registerPuts(app, options);
  registerGets(app, options);
  registerDeletes(app, options);
}

function registerPuts(instance: FastifyInstance, { router, schemas, admitBody }: CacheRouteOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const put = ({ key, value, ttl }: PutBody, exchange: PutExchange): void =>
    router.put(key, value, ttl === undefined ? 0 : Math.ceil(ttl * 1000), exchange);
  app.put(
    '/cache',
    {
      config: { parameters: NONE },
      preParsing: admitBody,
      schema: {
        operationId: 'putEntry',
        summary: 'Store an entry',
        description: 'Replaces the one of that key, and its `ttl`, where there is one.',
        tags: ['cache'],
        body: schemas.putBody,
        response: { 201: responseSchemas.stored, ...PUT_ERRORS },
      },
    },
    (request, reply) => put(request.body, new PutExchange(reply, 201)),
  );
  app.post(
    '/put',
    {
      config: { parameters: NONE },
      preParsing: admitBody,
      schema: {
        operationId: 'putEntryShort',
        summary: 'Store an entry',
        description: 'As `PUT /cache`, but for the status.',
        tags: ['short paths'],
        body: schemas.putBody,
        response: { 200: responseSchemas.stored, ...PUT_ERRORS },
      },
    },
    (request, reply) => put(request.body, new PutExchange(reply, 200)),
  );
}

function registerGets(instance: FastifyInstance, options: CacheRouteOptions): void {
  const { router, schemas } = options;
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const get = (key: string, { raw }: FastifyRequest, reply: FastifyReply): void =>
    router.get(key, acceptsGzip(raw.headers['accept-encoding']), new GetExchange(reply, options));
  app.get(
    '/cache/:key',
    {
      config: { parameters: NONE, swagger: { exposeHeadRoute: true } },
      schema: {
        operationId: 'getEntry',
        summary: 'Read an entry',
        description: IN_PATH,
        tags: ['cache'],
        params: schemas.keyInPath,
        response: { 200: responseSchemas.found, ...READ_ERRORS },
      },
    },
    (request, reply) => get(request.params.key, request, reply),
  );
  for (const [path, operationId, tag] of [
    ['/cache', 'getEntryByQuery', 'cache'],
    ['/get', 'getEntryShort', 'short paths'],
  ] as const) {
    app.get(
      path,
      {
        config: { parameters: ['key'], swagger: { exposeHeadRoute: true } },
        schema: {
          operationId,
          summary: 'Read an entry by query',
          description: 'For keys that a path, a proxy or a client does not carry, such as `..`.',
          tags: [tag],
          querystring: schemas.keyInQuery,
          response: { 200: responseSchemas.found, ...READ_ERRORS },
        },
      },
      (request, reply) => get(request.query.key, request, reply),
    );
  }
}

function registerDeletes(instance: FastifyInstance, { router, schemas }: CacheRouteOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.delete(
    '/cache/:key',
    {
      config: { parameters: NONE },
      onRequest: refuseBody,
      schema: {
        operationId: 'deleteEntry',
        summary: 'Delete an entry',
        description: IN_PATH,
        tags: ['cache'],
        params: schemas.keyInPath,
        response: { 204: responseSchemas.deleted, ...GET_ERRORS },
      },
    },
    (request, reply) => router.delete(request.params.key, new DeleteExchange(reply)),
  );
  app.delete(
    '/cache',
    {
      config: { parameters: ['key'] },
      onRequest: refuseBody,
      schema: {
        operationId: 'clearCache',
        summary: 'Empty the cache, or delete an entry by query',
        description:
          'With `key` it deletes that entry. Without a query, no `?` in the URL, it empties the whole cache: a client must not ' +
          'leave out a key that it meant to send.',
        tags: ['cache'],
        querystring: schemas.optionalKeyInQuery,
        response: { 200: responseSchemas.cleared, 204: responseSchemas.deleted, ...GET_ERRORS },
      },
    },
    async (request, reply) => {
      if (request.url.includes('?')) {
        // One key is meant, even where none is there.
        const { key } = request.query;
        if (key === undefined) {
          sendFailure(reply, { code: 'CACHE_ERR_KEY_INVALID', message: schemas.keyMissing });
        } else {
          router.delete(key, new DeleteExchange(reply));
        }
        return reply;
      }
      const cleared = await router.clear();
      if ('removed' in cleared) return { status: 'OK' as const, removed: cleared.removed };
      reply.hijack();
      writeFailure(reply.raw, cleared.failed);
      return reply;
    },
  );
}
