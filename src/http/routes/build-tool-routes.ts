import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { responseSchemas } from '../../api/response-schemas.ts';
import { NX_DIALECT, NX_PREFIX, TURBO_DIALECT, TURBO_PREFIX } from '../build-tools.ts';
import { sendFailure } from '../failures.ts';
import { DirectRequest } from '../fast/direct-request.ts';
import { type Dialect, RawGetExchange, RawPutExchange } from '../raw-exchanges.ts';
import { keyFailure } from '../failure-of-error.ts';
import { receiveRawPut } from '../raw-put.ts';
import { DEFAULT_TYPE, keptHeader } from '../raw-request.ts';
import { type KvRouteOptions } from './kv-routes.ts';

const HASH = z.object({ hash: z.string() });
const BYTES = { consumes: [DEFAULT_TYPE], body: { type: 'string', format: 'binary' } };
const TEXT = (description: string) => ({ description, content: { 'text/plain': { schema: z.string() } } });
const TEAM = {
  type: 'object',
  properties: {
    teamId: { type: 'string' },
    slug: { type: 'string', description: 'Of a team without `teamId`.' },
  },
};
const TAGS = ['build tools'];
const TURBO_FAILURES = { 401: responseSchemas.turboError, 403: responseSchemas.turboError };
const NX_FAILURES = { 401: TEXT('The token is missing or wrong.') };

interface Tool {
  readonly dialect: Dialect;
  readonly keyOf: (request: FastifyRequest) => string;
}

interface Stored {
  /** Names of request headers that are kept. */
  readonly headers: readonly [string, string] | undefined;
  readonly onlyNew: boolean;
}

/** Routes with just the statuses that two build tools take. Whatever goes wrong with a read is a miss to them. */
export function registerBuildToolRoutes(app: FastifyInstance, options: KvRouteOptions): void {
  registerNx(app, options);
  registerTurbo(app, options);
}

function registerNx(app: FastifyInstance, options: KvRouteOptions): void {
  const path = '/v1/cache/:hash';
  const tool: Tool = {
    dialect: NX_DIALECT,
    keyOf: ({ params }) => `${NX_PREFIX}${(params as { readonly hash: string }).hash}`,
  };
  const config = { renderFailure: NX_DIALECT.failed };
  app.put(
    path,
    {
      config: { ...config, documented: BYTES },
      schema: {
        operationId: 'putNxArtifact',
        summary: 'Store an artifact of Nx',
        description: 'Its entry has the key `v1/cache/{hash}`. One that is there is not replaced.',
        tags: TAGS,
        params: HASH,
        response: {
          200: TEXT('Stored.'),
          ...NX_FAILURES,
          403: TEXT('Not stored: the token may only read, or there is no room for it now.'),
          409: TEXT('It is there already.'),
        },
      },
    },
    (request, reply) => store(tool, { headers: undefined, onlyNew: true }, options, request, reply),
  );
  app.get(
    path,
    {
      config,
      schema: {
        operationId: 'getNxArtifact',
        summary: 'Read an artifact of Nx',
        description: 'A read that fails is a miss.',
        tags: TAGS,
        params: HASH,
        response: { 200: responseSchemas.rawFound, ...NX_FAILURES, 404: TEXT('It is not there.') },
      },
    },
    (request, reply) => read(tool, options, request, reply),
  );
}

function registerTurbo(app: FastifyInstance, options: KvRouteOptions): void {
  const path = '/v8/artifacts/:hash';
  const tool: Tool = {
    dialect: TURBO_DIALECT,
    keyOf: ({ params, query }) => {
      const { teamId, slug } = query as Readonly<Record<string, unknown>>;
      const team = [teamId, slug].find((one) => typeof one === 'string') ?? '';
      return `${TURBO_PREFIX}${team}/${(params as { readonly hash: string }).hash}`;
    },
  };
  const config = { renderFailure: TURBO_DIALECT.failed, documented: { querystring: TEAM } };
  const { turboError, turboStored } = responseSchemas;
  app.put(
    path,
    {
      config: { ...config, documented: { ...config.documented, ...BYTES } },
      schema: {
        operationId: 'putTurboArtifact',
        summary: 'Store an artifact of Turborepo',
        description:
          'Its entry has the key `v8/artifacts/{team}/{hash}`; `x-artifact-duration` and `-tag` are kept.',
        tags: TAGS,
        params: HASH,
        response: { 200: turboStored, 400: turboError, 413: turboError, 503: turboError, ...TURBO_FAILURES },
      },
    },
    (request, reply) => {
      const headers = ['x-artifact-duration', 'x-artifact-tag'] as const;
      store(tool, { headers, onlyNew: false }, options, request, reply);
    },
  );
  app.get(
    path,
    {
      config: { ...config, swagger: { exposeHeadRoute: true } },
      schema: {
        operationId: 'getTurboArtifact',
        summary: 'Read an artifact of Turborepo',
        description: 'A read that fails is a miss.',
        tags: TAGS,
        params: HASH,
        response: { 200: responseSchemas.rawFound, 404: turboError, ...TURBO_FAILURES },
      },
    },
    (request, reply) => read(tool, options, request, reply),
  );
  registerTurboNotices(app);
}

/** What Turborepo asks and says beside its artifacts. */
function registerTurboNotices(app: FastifyInstance): void {
  const { turboStatus, turboNoted } = responseSchemas;
  app.get(
    '/v8/artifacts/status',
    {
      config: { renderFailure: TURBO_DIALECT.failed },
      schema: {
        operationId: 'getTurboStatus',
        summary: 'Whether Turborepo may use the cache',
        description: 'It may.',
        tags: TAGS,
        response: { 200: turboStatus, ...TURBO_FAILURES },
      },
    },
    () => ({ status: 'enabled' }),
  );
  app.post(
    '/v8/artifacts/events',
    {
      config: { renderFailure: TURBO_DIALECT.failed, isRead: true },
      schema: {
        operationId: 'postTurboEvents',
        summary: 'What Turborepo has found in the cache',
        description: 'Nothing is done with it.',
        tags: TAGS,
        response: { 200: turboNoted, ...TURBO_FAILURES },
      },
    },
    ({ raw }) => {
      if (raw instanceof DirectRequest) raw.discardBody();
      return {};
    },
  );
}

function store(
  { dialect, keyOf }: Tool,
  { headers: names, onlyNew }: Stored,
  options: KvRouteOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const key = keyOf(request);
  if (!isKey(options, key, reply)) return;
  const kept = (names ?? []).map((name) => keptHeader(request.headers, name));
  const fault = kept.find((one) => typeof one !== 'string');
  if (fault !== undefined) {
    sendFailure(reply, fault);
    return;
  }
  const [first = '', second = ''] = kept as string[];
  const put = {
    ttlMs: 0,
    contentType: DEFAULT_TYPE,
    contentEncoding: '',
    headers: [first, second] as const,
    conditions: onlyNew ? ({ ifNoneMatch: '*' } as const) : {},
  };
  receiveRawPut(options, { request, reply, key, put, exchange: new RawPutExchange(reply, dialect, key) });
}

function read(
  { dialect, keyOf }: Tool,
  options: KvRouteOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const key = keyOf(request);
  if (!isKey(options, key, reply)) return;
  const exchange = new RawGetExchange(reply, options, dialect);
  if (request.method === 'HEAD') options.router.headRaw(key, {}, exchange);
  else options.router.getRaw(key, false, {}, exchange);
}

/** Whether it is one; else the client has been told. */
function isKey({ schemas }: KvRouteOptions, key: string, reply: FastifyReply): boolean {
  const failure = keyFailure(schemas, key);
  if (failure) sendFailure(reply, failure);
  return failure === undefined;
}
