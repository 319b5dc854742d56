import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import Negotiator from 'negotiator';
import { createHash } from 'node:crypto';
import { HeaderMemo } from '../fast/header-memo.ts';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';

const NAME = 'key-value-cache';
const DESCRIPTION = 'An in-memory key-value cache behind an HTTP API.';

/** Relative, so that they work behind a path prefix, too. */
const LINKS = {
  docs: 'docs',
  openapi: 'openapi.json',
  stats: 'stats',
  metrics: 'metrics',
  health: 'health',
  ready: 'ready',
};
const MEANINGS: Readonly<Record<keyof typeof LINKS, string>> = {
  docs: 'Read the API and try it',
  openapi: 'The API as an OpenAPI document',
  stats: 'Statistics',
  metrics: 'Metrics for Prometheus',
  health: 'Whether the process serves',
  ready: 'Whether every shard is up',
};

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.6 system-ui, sans-serif; }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
dt { float: left; clear: left; width: 8rem; }
dd { margin-left: 9rem; }
pre { padding: 0.5rem 1rem; overflow-x: auto; border: 1px solid; border-radius: 0.5rem; }
`;

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

function pageOf(version: string): string {
  const links = (Object.keys(LINKS) as (keyof typeof LINKS)[]).map(
    (name) => `<dt><a href="${LINKS[name]}">${name}</a></dt><dd>${MEANINGS[name]}</dd>`,
  );
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>${NAME}</title>
    <link rel="icon" href="data:," />
    <style>${STYLE}</style>
  </head>
  <body>
    <h1>${NAME} ${version}</h1>
    <p>${DESCRIPTION}</p>
    <dl>${links.join('')}</dl>
    <pre>PUT /cache  {"key":"user:42","value":"Ada"}
GET /cache/user:42
DELETE /cache/user:42</pre>
  </body>
</html>
`;
}

const preferences = new HeaderMemo(
  (accept) =>
    new Negotiator({ headers: { accept } }).mediaType(['application/json', 'text/html']) === 'text/html',
);

/** The start page: HTML for people, JSON for programs. */
export function registerRoot(instance: FastifyInstance, version: string): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const page = pageOf(version);
  app.get(
    '/',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'getService',
        summary: 'What this is, and where to go on',
        description: 'A page where `Accept` prefers `text/html`.',
        tags: ['operation'],
        response: { 200: responseSchemas.service, ...errorResponses(400) },
      },
    },
    (request, reply) => {
      void reply.header('vary', 'accept');
      if (preferences.of(request.headers.accept ?? '') !== true) {
        return { status: 'OK' as const, name: NAME, version, description: DESCRIPTION, links: LINKS };
      }
      void reply.headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': POLICY });
      return page;
    },
  );
}
