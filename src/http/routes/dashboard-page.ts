import type { FastifyInstance, FastifyReply } from 'fastify';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { errorResponses, responseSchemas } from '../../api/response-schemas.ts';
import { StaticFile } from './static-file.ts';

const { resolve } = createRequire(import.meta.url);
const PAGE = new URL('../../dashboard/page/', import.meta.url);

const CSS = 'text/css; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';

/** Scripts are served as they lie there: they are written in JavaScript, so that nothing has to be made of them first. */
const OWN_FILES = [
  ['page.css', CSS],
  ['page.js', SCRIPT],
  ['charts.js', SCRIPT],
  ['chart.js', SCRIPT],
  ['chart-specs.js', SCRIPT],
  ['drawing.js', SCRIPT],
  ['window.js', SCRIPT],
  ['stream.js', SCRIPT],
  ['entry-form.js', SCRIPT],
  ['format.js', SCRIPT],
] as const;
const UPLOT_FILES = [
  ['uPlot.min.css', CSS],
  ['uPlot.iife.min.js', SCRIPT],
] as const;

/** All from this server. uPlot sets styles by script alone, which needs no permission. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The page, the same at `/` and at `/dashboard`: every link in it is relative. */
export class DashboardPage {
  private readonly html: string;

  constructor(version: string, hasToken: boolean) {
    this.html = readFileSync(new URL('page.html', PAGE), 'utf8')
      .replaceAll('{{version}}', version)
      .replace('{{wantsToken}}', String(hasToken));
  }

  /** Sets the headers. @returns what to send. */
  answer(reply: FastifyReply): string {
    void reply.headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': POLICY });
    return this.html;
  }
}

/** It shows no data, nor do its files: a browser loads them before it has the token. */
const config = { access: 'open' } as const;
const hidden = { schema: { hide: true }, config };
const hiddenFile = { schema: { hide: true }, config: { access: 'file' } } as const;

export function registerDashboardPage(app: FastifyInstance, page: DashboardPage): void {
  app.get(
    '/dashboard',
    {
      config,
      schema: {
        operationId: 'getDashboard',
        summary: 'A page that shows what the server holds and does',
        description: 'Live, by `/dashboard/feed`; with a form to put, get and delete a key.',
        tags: ['dashboard'],
        response: { 200: responseSchemas.dashboard, ...errorResponses(400) },
      },
    },
    (_request, reply) => page.answer(reply),
  );
  // From there the links would lead elsewhere.
  app.get('/dashboard/', hidden, (_request, reply) =>
    reply.code(302).header('location', '../dashboard').send(),
  );
}

/** The files of the page: small, and the same bytes for every client. */
export function registerDashboardFiles(app: FastifyInstance, gzipThresholdBytes: number): void {
  const files = [
    ...OWN_FILES.map(([name, type]) => [name, fileURLToPath(new URL(name, PAGE)), type] as const),
    ...UPLOT_FILES.map(([name, type]) => [name, resolve(`uplot/dist/${name}`), type] as const),
  ];
  for (const [name, path, type] of files) {
    const file = new StaticFile(path, type);
    app.get(`/dashboard/${name}`, hiddenFile, (request, reply) =>
      file.answer(request, reply, gzipThresholdBytes > 0),
    );
  }
}
