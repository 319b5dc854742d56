import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import Negotiator from 'negotiator';
import type { DashboardPage } from './dashboard-page.ts';
import { HeaderMemo } from '../fast/header-memo.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';

const NAME = 'key-value-cache';
const DESCRIPTION = 'An in-memory key-value cache behind an HTTP API.';

/** Relative, so that they work behind a path prefix, too. */
const LINKS = {
  dashboard: 'dashboard',
  docs: 'docs',
  openapi: 'openapi.json',
  stats: 'stats',
  metrics: 'metrics',
  health: 'health',
  ready: 'ready',
};

/** Each GET is there as a HEAD, too. */
const PATHS = [
  'PUT /cache',
  'GET /cache/{key}',
  'GET /cache?key={key}',
  'DELETE /cache/{key}',
  'DELETE /cache?key={key}',
  'DELETE /cache',
  'GET /keys',
  'PUT /kv/{key}',
  'GET /kv/{key}',
  'DELETE /kv/{key}',
  'POST /batch',
  'POST /put',
  'GET /get?key={key}',
];

const preferences = new HeaderMemo(
  (accept) =>
    new Negotiator({ headers: { accept } }).mediaType(['application/json', 'text/html']) === 'text/html',
);

/** The start page: the dashboard for people, JSON for programs. */
export function registerRoot(instance: FastifyInstance, version: string, page: DashboardPage): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'getService',
        summary: 'What this is, and where to go on',
        description: 'The dashboard where `Accept` prefers `text/html`.',
        tags: ['operation'],
        response: { 200: responseSchemas.service, ...errorResponses(400) },
      },
    },
    (request, reply) => {
      void reply.header('vary', 'accept');
      if (preferences.of(request.headers.accept ?? '') !== true) {
        return {
          status: 'OK' as const,
          name: NAME,
          version,
          description: DESCRIPTION,
          paths: PATHS,
          links: LINKS,
        };
      }
      return page.answer(reply);
    },
  );
}
