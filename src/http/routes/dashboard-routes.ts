import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { type FeedSource, MAX_WATCHERS, type Watcher } from '../../dashboard/feed.ts';
import type { HttpRouter } from '../../shards/router.ts';
import { NO_STORE } from '../write-answer.ts';
import { sendFailure } from '../failures.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import type { RequestSchemas } from '../../api/request-schemas.ts';
import { accountOf } from '../intake/account.ts';
import { whenClosed } from '../intake/when-closed.ts';

/** A watcher that has not taken so much is dropped. */
const MAX_UNTAKEN_BYTES = 2 ** 16;

/** The live figures of the dashboard. It lasts as long as its client listens. */
export function registerFeed(app: FastifyInstance, feed: FeedSource): void {
  app.get(
    '/dashboard/feed',
    {
      // It would not end.
      exposeHeadRoute: false,
      schema: {
        operationId: 'getDashboardFeed',
        summary: 'What the dashboard shows, as server-sent events',
        description:
          `\`start\` with the last log lines, then a \`sample\` each second. At most ${MAX_WATCHERS} clients may listen. ` +
          'What is in the events may change with any version.',
        tags: ['dashboard'],
        response: { 200: responseSchemas.feed, ...errorResponses(400, 503) },
      },
    },
    async (_request, reply) => {
      if (!(await feed.hasRoom())) {
        return sendFailure(reply, {
          code: 'CACHE_ERR_BUSY',
          message: `The dashboard is open ${MAX_WATCHERS} times already.`,
          refusal: 'admin',
        });
      }
      reply.hijack();
      stream(reply, feed);
      return reply;
    },
  );
  app.addHook('preClose', (done) => {
    feed.close();
    done();
  });
}

function stream({ raw: response }: FastifyReply, feed: FeedSource): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': NO_STORE,
    // To nginx: whatever comes is passed on at once.
    'x-accel-buffering': 'no',
    connection: 'close',
  });
  // A shutdown does not wait for its end, and a client that rests between two events is not cut off.
  accountOf(response.req.socket)?.end(response);
  const watcher: Watcher = {
    send: (message) => {
      if (response.writableLength > MAX_UNTAKEN_BYTES) return false;
      response.write(message);
      return true;
    },
    end: () => {
      if (response.writableNeedDrain) response.destroy();
      else response.end();
    },
  };
  whenClosed(response, () => feed.forget(watcher));
  feed.watch(watcher);
}

export interface EntryRouteOptions {
  readonly router: HttpRouter;
  readonly schemas: RequestSchemas;
}

/** What is known of an entry. Asking is no read, and does not make it the most recently used. */
export function registerEntryRoute(instance: FastifyInstance, { router, schemas }: EntryRouteOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/dashboard/entry',
    {
      config: { parameters: ['key'] },
      schema: {
        operationId: 'inspectEntry',
        summary: 'Which shard a key belongs to, and what is known of its entry',
        description:
          'Does not count as a read, and does not change the order of use. The time of the PUT is not kept.',
        tags: ['dashboard'],
        querystring: schemas.keyInQuery,
        response: { 200: responseSchemas.inspection, ...errorResponses(400, 503) },
      },
    },
    async ({ query: { key } }, reply) => {
      const found = await router.inspect(key);
      if (found === undefined) {
        return sendFailure(reply, {
          code: 'CACHE_ERR_SHARD_UNAVAILABLE',
          message: 'The shard of this key does not answer.',
        });
      }
      const { shard, entry } = found;
      if (entry === undefined) return { status: 'OK' as const, key, shard, entry: null };
      const { valueBytes, entryBytes, ttlMs } = entry;
      const ttlSeconds = ttlMs === undefined ? null : ttlMs / 1000;
      return {
        status: 'OK' as const,
        key,
        shard,
        entry: { keyBytes: key.length, valueBytes, entryBytes, ttlSeconds },
      };
    },
  );
}
