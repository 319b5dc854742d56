import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { KeyPlace, HttpRouter } from '../../shards/router.ts';
import { failureOfReply } from '../exchanges.ts';
import { sendFailure } from '../failures.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import type { RequestSchemas } from '../../api/request-schemas.ts';

export interface KeysRouteOptions {
  readonly router: HttpRouter;
  readonly schemas: RequestSchemas;
}

/** The keys that there are, page by page: each page takes a moment of one shard. */
export function registerKeysRoute(instance: FastifyInstance, { router, schemas }: KeysRouteOptions): void {
  instance.withTypeProvider<ZodTypeProvider>().get(
    '/keys',
    {
      config: { parameters: ['prefix', 'cursor'] },
      schema: {
        operationId: 'listKeys',
        summary: 'List keys',
        description:
          'Page by page, in no order. A key that is there from the first page to the last is listed, at least once; one that ' +
          'comes or goes meanwhile may be or not. Counts as no read. All entries are looked at, whatever the prefix.',
        tags: ['cache'],
        querystring: schemas.keyListing,
        response: { 200: responseSchemas.keys, ...errorResponses(400, 500, 503) },
      },
    },
    async ({ query: { prefix, cursor } }, reply) => {
      const place = placeOf(cursor);
      if (place.shard >= router.shards.length) {
        return sendFailure(reply, {
          code: 'CACHE_ERR_REQUEST_INVALID',
          message: 'cursor must be the cursor of the last page, and is of another cache.',
        });
      }
      const page = await router.listKeys(prefix, place);
      if (page === undefined) {
        return sendFailure(reply, {
          code: 'CACHE_ERR_SHARD_UNAVAILABLE',
          message: 'A shard does not answer.',
        });
      }
      if (typeof page === 'number') return sendFailure(reply, failureOfReply(page));
      const { keys, next } = page;
      return { status: 'OK' as const, keys, cursor: next ? `${next.shard}-${next.cursor}` : null };
    },
  );
}

function placeOf(cursor: string): KeyPlace {
  const [shard, hash] = cursor.split('-').map(Number);
  return { shard, cursor: hash };
}
