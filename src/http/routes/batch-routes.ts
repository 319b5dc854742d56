import { parse as parseContentType } from 'content-type';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BATCH_TYPE, MAX_BATCH_BYTES, MAX_BATCH_REQUESTS } from '../../api/batch-format.ts';
import type { RequestSchemas } from '../../api/request-schemas.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import { Batch, type BatchForm, type BatchOptions } from '../batch.ts';
import { BINARY_FORM, JSON_FORM, planJsonBatch } from '../batch-forms.ts';
import { type BatchPlan, type BatchRules, planBatch } from '../batch-plan.ts';
import { type Failure, sendFailure } from '../failures.ts';
import { BodyBuffer } from '../fast/body-buffer.ts';
import { HeaderMemo } from '../fast/header-memo.ts';
import { declaredBytes } from '../fast/direct-request.ts';
import { type Bodies, continueBody, unreadable } from '../intake/bodies.ts';

const TOO_LARGE: Failure = {
  code: 'CACHE_ERR_BODY_TOO_LARGE',
  message: 'A batch has at most 4 MiB.',
};
const NO_TYPE: Failure = {
  code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
  message: `The content type must be application/json or ${BATCH_TYPE}.`,
};

const JSON_BATCH = {
  type: 'object',
  required: ['requests'],
  additionalProperties: false,
  properties: {
    requests: {
      type: 'array',
      maxItems: MAX_BATCH_REQUESTS,
      items: {
        type: 'object',
        required: ['method', 'key'],
        additionalProperties: false,
        properties: {
          method: { enum: ['GET', 'PUT', 'DELETE', 'HEAD'] },
          key: { type: 'string' },
          value: { type: 'string', description: 'Of a PUT.' },
          ttl: { type: 'number', description: 'Of a PUT: seconds until the entry expires.' },
        },
      },
    },
  },
  example: {
    requests: [
      { method: 'PUT', key: 'a', value: '1', ttl: 60 },
      { method: 'GET', key: 'a' },
      { method: 'DELETE', key: 'b' },
    ],
  },
};

export interface BatchRouteOptions extends BatchOptions {
  readonly schemas: RequestSchemas;
  readonly bodies: Bodies;
}

/** Many requests in one, each answered for itself. */
export function registerBatchRoute(app: FastifyInstance, options: BatchRouteOptions): void {
  const { router, schemas, bodies } = options;
  app.post(
    '/batch',
    {
      config: {
        isRead: true,
        parameters: [],
        documented: {
          body: {
            content: {
              'application/json': { schema: JSON_BATCH },
              [BATCH_TYPE]: { schema: { type: 'string', format: 'binary' } },
            },
          },
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
      const form = formOf(request);
      if ('code' in form) return sendFailure(reply, form);
      const bytes = declaredBytes(request.headers) ?? MAX_BATCH_BYTES;
      if (bytes > MAX_BATCH_BYTES) return sendFailure(reply, TOO_LARGE);
      const rules: BatchRules = { router, schemas, isReadOnly: request.isReadOnly === true };
      const run = (plan: BatchPlan | Failure): void => {
        if ('code' in plan) sendFailure(reply, plan);
        else new Batch(reply, options, form.answers, plan).run();
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
          else run(form.plan(body.bytes(), rules));
          if (body instanceof BodyBuffer) body.free();
        });
      });
      return reply;
    },
  );
}

interface Form {
  readonly plan: (body: Buffer, rules: BatchRules) => BatchPlan | Failure;
  readonly answers: BatchForm;
}

const BINARY: Form = { plan: planBatch, answers: BINARY_FORM };
const JSON_TEXT: Form = { plan: planJsonBatch, answers: JSON_FORM };
const typesOf = new HeaderMemo((contentType) => parseContentType(contentType).type);

function formOf({ contentType, headers }: FastifyRequest): Form | Failure {
  if (typeof contentType !== 'string') return contentType;
  const type = typesOf.of(contentType);
  if (type !== 'application/json' && type !== BATCH_TYPE) return NO_TYPE;
  return unreadable(headers, contentType) ?? (type === BATCH_TYPE ? BINARY : JSON_TEXT);
}
