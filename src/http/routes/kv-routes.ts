import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { RequestSchemas } from '../../api/request-schemas.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import { acceptsGzip } from '../fast/accept-gzip.ts';
import type { GetOptions } from '../exchanges.ts';
import { sendFailure } from '../failures.ts';
import { refuseBody } from '../intake/no-body.ts';
import { PLAIN_DIALECT, RawDeleteExchange, RawGetExchange, RawPutExchange } from '../raw-exchanges.ts';
import { type RawPutOptions, receiveRawPut } from '../raw-put.ts';
import { keepContentType, putOptionsOf, withConditions } from '../raw-request.ts';

export interface KvRouteOptions extends GetOptions, RawPutOptions {
  readonly schemas: RequestSchemas;
}

const PATH = '/kv/*';
const KEY_IS = 'Everything behind `/kv/`, percent-decoded, is the key: slashes may stand as they are.';
const READ_ERRORS = errorResponses(400, 404, 412, 503, 500);

const text = (description: string): object => ({ type: 'string', description });
const object = (properties: object): object => ({ type: 'object', properties });
const IF_MATCH = {
  'if-match': text('Only if the entry has one of these entity tags, or is there at all (`*`).'),
};
const IF_NONE_MATCH = {
  'if-none-match': text('Only if the entry has none of these entity tags, or is not there (`*`).'),
};

/** Raw entries: any bytes under any key, for any client. They are the same entries as those of `/cache`. */
export function registerKvRoutes(app: FastifyInstance, options: KvRouteOptions): void {
  registerPut(app, options);
  registerReads(app, options);
  registerDelete(app, options);
}

/** Whatever type a body is said to have, its handler reads it: nothing is parsed. */
export function readBodiesAsBytes(app: FastifyInstance): void {
  app.decorateRequest('contentType', '');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.addHook('onRequest', keepContentType);
}

/** Names what a wildcard has matched. */
function nameKey({ params }: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  const named = params as Record<string, string>;
  named['key'] = named['*'];
  done();
}

function registerPut(instance: FastifyInstance, options: KvRouteOptions): void {
  const { schemas } = options;
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.put(
    PATH,
    {
      config: {
        documented: {
          consumes: ['*/*'],
          body: { type: 'string', format: 'binary' },
          querystring: object({ ttl: text('Seconds until the entry expires. It wins over the headers.') }),
          headers: object({
            'x-ttl': text('The same. It wins over `Cache-Control: max-age=`.'),
            ...IF_MATCH,
            ...IF_NONE_MATCH,
          }),
        },
      },
      onRequest: nameKey,
      schema: {
        operationId: 'putRaw',
        summary: 'Store bytes',
        description: `The body is the value. ${KEY_IS}`,
        tags: ['raw'],
        params: schemas.keyInPath,
        response: {
          201: responseSchemas.rawCreated,
          204: responseSchemas.rawReplaced,
          ...errorResponses(400, 412, 413, 503, 500),
        },
      },
    },
    (request, reply) => {
      const put = putOptionsOf(request);
      if ('code' in put) {
        sendFailure(reply, put);
        return;
      }
      const { key } = request.params;
      const exchange = new RawPutExchange(reply, PLAIN_DIALECT, key);
      receiveRawPut(options, { request, reply, key, put, exchange });
    },
  );
}

function registerReads(instance: FastifyInstance, options: KvRouteOptions): void {
  const { router, schemas } = options;
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const config = { documented: { headers: object({ ...IF_MATCH, ...IF_NONE_MATCH }) } };
  const schema = {
    tags: ['raw'],
    params: schemas.keyInPath,
    response: { 200: responseSchemas.rawFound, 304: responseSchemas.notModified, ...READ_ERRORS },
  };
  app.head(
    PATH,
    {
      config: { ...config, swagger: { exposeHeadRoute: true } },
      onRequest: nameKey,
      schema: {
        ...schema,
        // The document makes it `headRaw`.
        operationId: 'getRaw',
        summary: 'Look at an entry',
        description: `As GET, without the bytes. ${KEY_IS}`,
      },
    },
    (request, reply) =>
      withConditions(request, reply, (conditions) =>
        router.headRaw(request.params.key, conditions, new RawGetExchange(reply, options, PLAIN_DIALECT)),
      ),
  );
  app.get(
    PATH,
    {
      config,
      onRequest: nameKey,
      exposeHeadRoute: false,
      schema: {
        ...schema,
        operationId: 'getRaw',
        summary: 'Read bytes',
        description: `With the type and encoding that they were stored with. ${KEY_IS}`,
      },
    },
    (request, reply) =>
      withConditions(request, reply, (conditions) => {
        const exchange = new RawGetExchange(reply, options, PLAIN_DIALECT);
        router.getRaw(
          request.params.key,
          acceptsGzip(request.headers['accept-encoding']),
          conditions,
          exchange,
        );
      }),
  );
}

function registerDelete(instance: FastifyInstance, { router, schemas }: KvRouteOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.delete(
    PATH,
    {
      config: { documented: { headers: object({ ...IF_MATCH, ...IF_NONE_MATCH }) } },
      onRequest: [nameKey, refuseBody],
      schema: {
        operationId: 'deleteRaw',
        summary: 'Delete an entry',
        description: `It is deleted, whether or not it was there. ${KEY_IS}`,
        tags: ['raw'],
        params: schemas.keyInPath,
        response: { 204: responseSchemas.deleted, ...errorResponses(400, 412, 503, 500) },
      },
    },
    (request, reply) =>
      withConditions(request, reply, (conditions) =>
        router.deleteRaw(request.params.key, conditions, new RawDeleteExchange(reply)),
      ),
  );
}
