import type { FastifyInstance } from 'fastify';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { StaticFile } from './static-file.ts';

const { resolve } = createRequire(import.meta.url);

const FILES = [
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
] as const;

/** The page finds out by itself under which prefix proxies serve it. */
const SCRIPT = `
fetch('openapi.json')
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error('HTTP ' + answer.status))))
  .then((spec) => {
    spec.servers = [{ url: new URL('.', location.href).href.replace(/\\/$/, '') }];
    SwaggerUIBundle({ spec, dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });
  })
  .catch((error) => {
    document.getElementById('swagger-ui').textContent = 'openapi.json could not be read: ' + error.message;
  });
`;

/** Every link is relative. */
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>key-value-cache: API</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="docs/swagger-ui.css" />
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script>${SCRIPT}</script>
  </body>
</html>
`;

/** Everything comes from this server, and no other script runs. Swagger UI sets styles on its elements. */
const POLICY = [
  "default-src 'none'",
  `script-src 'self' 'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`,
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Swagger UI, to read the API and to try it. */
export function registerDocs(app: FastifyInstance, gzipThresholdBytes: number): void {
  const file = { schema: { hide: true }, config: { access: 'file' } } as const;
  const options = { schema: { hide: true }, config: { access: 'open' } } as const;
  app.get('/docs', options, (_request, reply) =>
    reply
      .headers({
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': POLICY,
        'cache-control': 'no-cache',
      })
      .send(PAGE),
  );
  // The relative links would lead elsewhere from here.
  app.get('/docs/', options, (_request, reply) => reply.code(302).header('location', '../docs').send());
  for (const [name, type] of FILES) {
    const content = new StaticFile(resolve(`swagger-ui-dist/${name}`), type);
    app.get(`/docs/${name}`, file, (request, reply) =>
      content.answer(request, reply, gzipThresholdBytes > 0),
    );
  }
}
