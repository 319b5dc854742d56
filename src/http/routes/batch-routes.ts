import { parse as parseContentType } from 'content-type';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BATCH_TYPE } from '../../api/batch-format.ts';
import type { RequestSchemas } from '../../api/request-schemas.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import type { ShardRouter } from '../../shards/router.ts';
import { Batch, type BatchForm, type BatchItem } from '../batch.ts';
import { BINARY_FORM, JSON_FORM, readBinaryBatch, readJsonBatch } from '../batch-forms.ts';
import { type Failure, sendFailure } from '../failures.ts';
import { BodyBuffer } from '../fast/body-buffer.ts';
import { declaredBytes } from '../fast/direct-request.ts';
import { type Bodies, continueBody, unreadable } from '../intake/bodies.ts';

/** A batch of values of 1 MiB has three of them. */
const MAX_BATCH_BYTES = 4 * 2 ** 20;

const TOO_LARGE: Failure = {
  code: 'CACHE_ERR_BODY_TOO_LARGE',
  message: 'A batch has at most 4 MiB.',
};
const NO_TYPE: Failure = {
  code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
  message: `The content type must be application/json or ${BATCH_TYPE}.`,
};

export interface BatchRouteOptions {
  readonly router: ShardRouter;
  readonly schemas: RequestSchemas;
  readonly bodies: Bodies;
}

/** Many requests in one, each answered for itself. */
export function registerBatchRoute(
  app: FastifyInstance,
  { router, schemas, bodies }: BatchRouteOptions,
): void {
  app.post(
    '/batch',
    {
      config: {
        documented: {
          consumes: ['application/json', BATCH_TYPE],
          body: { type: 'object', required: ['requests'], properties: { requests: { type: 'array' } } },
        },
      },
      schema: {
        operationId: 'batch',
        summary: 'Many requests in one',
        description:
          'Up to 1,000 GETs, PUTs, DELETEs and HEADs, each answered for itself, in their order. The binary form is described in docs/batch-format.md.',
        tags: ['cache'],
        response: { 200: responseSchemas.batch, ...errorResponses(400, 413, 415, 503, 500) },
      },
    },
    (request, reply) => {
      const form = formOf(request, schemas);
      if ('code' in form) return sendFailure(reply, form);
      const bytes = declaredBytes(request.headers) ?? MAX_BATCH_BYTES;
      if (bytes > MAX_BATCH_BYTES) return sendFailure(reply, TOO_LARGE);
      const run = (items: BatchItem[] | Failure): void => {
        if ('code' in items) sendFailure(reply, items);
        else new Batch(reply, router, form.answers, items.length).run(items);
      };
      bodies.enter(request, reply, bytes, (failure) => {
        if (failure) {
          sendFailure(reply, failure);
          return;
        }
        if (request.headers.expect !== undefined) continueBody(request, reply);
        bodies.gather(request, MAX_BATCH_BYTES, (body) => {
          if (!(body instanceof BodyBuffer)) run(body);
          else if (body.length > MAX_BATCH_BYTES) run(TOO_LARGE);
          else run(form.read(body.bytes()));
          if (body instanceof BodyBuffer) body.free();
        });
      });
      return reply;
    },
  );
}

interface Form {
  readonly read: (body: Buffer) => BatchItem[] | Failure;
  readonly answers: BatchForm;
}

function formOf({ contentType, headers }: FastifyRequest, schemas: RequestSchemas): Form | Failure {
  if (typeof contentType !== 'string') return contentType;
  const { type } = parseContentType(contentType);
  if (type !== 'application/json' && type !== BATCH_TYPE) return NO_TYPE;
  const failure = unreadable(headers, contentType);
  if (failure) return failure;
  if (type === BATCH_TYPE) return { read: (body) => readBinaryBatch(body, schemas), answers: BINARY_FORM };
  return { read: (body) => readJsonBatch(body, schemas), answers: JSON_FORM };
}
