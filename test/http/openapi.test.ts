import { Validator } from '@seriousme/openapi-schema-validator';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../src/api/errors.ts';
import { responseSchemas } from '../../src/api/response-schemas.ts';
import { compile, faultsOf, generateClient, generateTypes } from '../generators/generate.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const TOKEN = 'sesame';
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Where modules of this project are found, and what is written is no part of it. */
const CACHE = join(ROOT, 'node_modules/.cache/key-value-cache');

interface OpenApiDocument {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly security: readonly object[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>;
}

let folder: string;
let server: TestServer;
/** With the longest keys there may be, and a token. */
let other: TestServer;
let document: OpenApiDocument;

async function read({ client }: TestServer): Promise<OpenApiDocument> {
  const answer = await client.get('/openapi.json');
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(answer.headers['cache-control']).toBe('no-store');
  return JSON.parse(answer.text) as OpenApiDocument;
}

beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true });
  folder = mkdtempSync(join(CACHE, 'openapi-'));
  server = await startTestServer({ SHARDS: '1' });
  other = await startTestServer({ SHARDS: '1', MAX_KEY_LENGTH: '4096', AUTH_TOKEN: TOKEN });
  document = await read(server);
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await server[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

function operations({ paths }: OpenApiDocument): [name: string, operation: Operation][] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
}

describe('GET /openapi.json', () => {
  test('is a valid OpenAPI 3.1 document', async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate({ ...document });
    expect({ valid, errors }).toMatchObject({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  test('describes every path, method and status of the API', () => {
    const described = operations(document).map(
      ([name, { responses }]) => [name, Object.keys(responses).join(' ')] as const,
    );
    expect(Object.fromEntries(described)).toStrictEqual({
      'PUT /cache': '201 400 413 415 500 503',
      'GET /cache': '200 400 404 406 500 503',
      'GET /keys': '200 400 500 503',
      'HEAD /cache': '200 400 404 406 500 503',
      'DELETE /cache': '200 204 400 404 500 503',
      'GET /cache/{key}': '200 400 404 406 500 503',
      'HEAD /cache/{key}': '200 400 404 406 500 503',
      'DELETE /cache/{key}': '204 400 404 500 503',
      'POST /batch': '200 400 413 415 500 503',
      'POST /put': '200 400 413 415 500 503',
      'GET /get': '200 400 404 406 500 503',
      'HEAD /get': '200 400 404 406 500 503',
      'PUT /kv/{key}': '201 204 400 412 413 500 503',
      'GET /kv/{key}': '200 304 400 404 412 500 503',
      'HEAD /kv/{key}': '200 304 400 404 412 500 503',
      'DELETE /kv/{key}': '204 400 412 500 503',
      'PUT /v1/cache/{hash}': '200 401 403 409',
      'GET /v1/cache/{hash}': '200 401 404',
      'PUT /v8/artifacts/{hash}': '200 400 401 403 413 503',
      'GET /v8/artifacts/{hash}': '200 401 403 404',
      'HEAD /v8/artifacts/{hash}': '200 401 403 404',
      'GET /v8/artifacts/status': '200 401 403',
      'POST /v8/artifacts/events': '200 401 403',
      'GET /': '200 400',
      'GET /dashboard': '200 400',
      'GET /dashboard/feed': '200 400 503',
      'GET /dashboard/entry': '200 400 503',
      'GET /health': '200 400',
      'GET /ready': '200 400 503',
      'GET /stats': '200 400 500 503',
      'GET /metrics': '200 400 500 503',
    });
  });

  test('names every operation once, and says what each is for', () => {
    const all = operations(document);
    const ids = all.map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(all.length);
    for (const id of ids) expect(id).toMatch(/^[a-z]+[A-Za-z]*$/);
    for (const [name, { summary, description, tags }] of all) {
      expect([name, summary, description, tags.length]).toStrictEqual([
        name,
        expect.stringMatching(/./),
        expect.stringMatching(/\.$/),
        1,
      ]);
    }
  });

  test('a HEAD has no content, and nothing else lacks it but what has stored, deleted or not changed', () => {
    for (const [name, { responses }] of operations(document)) {
      for (const [status, { content }] of Object.entries(responses)) {
        const isEmpty = name.startsWith('HEAD') || /^(201 PUT .kv|204|304)/.test(`${status} ${name}`);
        expect([name, status, content === undefined]).toStrictEqual([name, status, isEmpty]);
      }
    }
  });

  test('the key in the query is wanted, but where the whole cache may be meant', () => {
    const wanted = operations(document)
      .filter(([, { parameters = [] }]) => parameters.some((one) => one.in === 'query' && one.name === 'key'))
      .map(([name, { parameters }]) => [name, parameters]);
    const key = {
      name: 'key',
      in: 'query',
      schema: expect.objectContaining({ minLength: 1, maxLength: 256 }),
    };
    const required = [expect.objectContaining({ ...key, required: true })];
    expect(Object.fromEntries(wanted)).toStrictEqual({
      'GET /cache': required,
      'HEAD /cache': required,
      'DELETE /cache': [expect.objectContaining({ ...key, required: false })],
      'GET /get': required,
      'HEAD /get': required,
      'GET /dashboard/entry': required,
    });
  });

  test('is made from the schemas that validate', () => {
    const { paths } = document;
    for (const operation of [paths['/cache']['put'], paths['/put']['post']]) {
      expect(operation.requestBody!.content['application/json'].schema).toMatchObject({
        type: 'object',
        required: ['key', 'value'],
        additionalProperties: false,
        properties: {
          key: { type: 'string', minLength: 1, maxLength: 256, pattern: '^[\\x20-\\x7e]*$' },
          value: { type: 'string', maxLength: 2 ** 20, pattern: '^[\\x00-\\x7f]*$' },
          ttl: { type: 'number', exclusiveMinimum: 0, maximum: 315_576_000 },
        },
      });
    }
  });

  test('names every code that the cache paths may fail with', () => {
    const text = JSON.stringify(document);
    const codes = (Object.keys(ERRORS) as ErrorCode[]).filter((code) =>
      [400, 404, 406, 412, 413, 415, 500, 503].includes(ERRORS[code]),
    );
    for (const code of codes) expect(text).toContain(code);
  });

  test('is the same for all', async () => {
    expect(document.servers).toStrictEqual([{ url: '/' }]);
    const { text } = await server.client.get('/openapi.json', {
      host: 'elsewhere:1',
      'x-forwarded-host': 'elsewhere',
      'x-forwarded-prefix': '/elsewhere',
    });
    expect(JSON.parse(text)).toStrictEqual(document);
  });

  test('has answers that clients read when there is more in them', () => {
    expect(Object.keys(document.components.schemas).length).toBeGreaterThan(10);
    expect(JSON.stringify(document.components)).not.toContain('additionalProperties":false');
  });
});

interface JsonResponse {
  readonly content: { readonly 'application/json': { readonly schema: z.ZodType } };
}

test('answers are as the document has them', async () => {
  const { client } = server;
  await client.put('a', 'v');
  const { stored, found, cleared, service, health, ready, stats } = responseSchemas;
  const answers = [
    [await client.put('a', 'v'), stored],
    [await client.get('/cache?key=a'), found],
    [await client.get('/'), service],
    [await client.get('/health'), health],
    [await client.get('/ready'), ready],
    [await client.get('/stats'), stats],
    [await client.call({ method: 'DELETE', path: '/cache' }), cleared],
  ] as const;
  for (const [{ text }, response] of answers) {
    // Nothing is there that is not described.
    const { schema } = (response satisfies JsonResponse).content['application/json'];
    expect(schema.parse(JSON.parse(text))).toStrictEqual(JSON.parse(text));
  }
});

/** Of default settings, and of the longest keys with a token. */
const VARIANTS = ['256', '4096'];

async function documentOf(variant: string): Promise<{ path: string; json: OpenApiDocument }> {
  const json = await read(variant === '256' ? server : other);
  const path = join(folder, `${variant}.json`);
  writeFileSync(path, JSON.stringify(json));
  return { path, json };
}

describe.each(VARIANTS)('tools that read the document, MAX_KEY_LENGTH=%s', (variant) => {
  test('the linter has nothing against it', async () => {
    const { path } = await documentOf(variant);
    const cli = createRequire(import.meta.url).resolve('@redocly/cli/bin/cli.js');
    const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
    const args = [cli, 'lint', '--extends=recommended', '--format=json', path];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env });
    const { totals, problems } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
      totals: { errors: number; warnings: number };
      problems: unknown[];
    };
    expect(problems).toStrictEqual([]);
    expect(totals).toMatchObject({ errors: 0, warnings: 0 });
  });

  test('patterns are such as RE2 takes, which clients in Go are bound to', async () => {
    const { json } = await documentOf(variant);
    const patterns = [...JSON.stringify(json).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)];
    expect(patterns.length).toBeGreaterThan(5);
    for (const [, text] of patterns) {
      const pattern = JSON.parse(text) as string;
      const repetitions = [...pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].flatMap(([, ...bounds]) => bounds);
      for (const bound of repetitions) expect(Number(bound ?? 0)).toBeLessThanOrEqual(1000);
      expect(pattern).not.toMatch(/\(\?[=!<]|\\[1-9]/);
    }
  });

  test('types and a client are generated from it, which compile and work', async () => {
    const { path, json } = await documentOf(variant);
    writeFileSync(join(folder, 'types.ts'), await generateTypes(json));
    writeFileSync(join(folder, 'client.ts'), await generateClient(path));
    writeFileSync(join(folder, 'use.ts'), USE_OF_TYPES);
    const paths = ['types.ts', 'client.ts', 'use.ts'].map((name) => join(folder, name));
    expect(faultsOf(paths)).toStrictEqual([]);

    const client = (await import(`${compile(folder, 'client')}?${variant}`)) as GeneratedClient;
    const { port } = variant === '256' ? server : other;
    const options = {
      baseUrl: `http://127.0.0.1:${port}`,
      ...(variant === '4096' && { headers: { authorization: `Bearer ${TOKEN}` } }),
    };
    const key = 'a/b ?&=+%..';
    expect((await client.putEntry({ key, value: 'v', ttl: 60 }, options)).status).toBe(201);
    const entry = { status: 'OK', key, value: 'v' };
    for (const get of [client.getEntry, client.getEntryByQuery, client.getEntryShort]) {
      expect(await get(key, options)).toMatchObject({ status: 200, data: entry });
    }
    expect((await client.headEntry(key, options)).status).toBe(200);
    expect((await client.getStats(options)).data).toMatchObject({ totals: { entries: 1 } });
    expect((await client.clearCache({ key }, options)).status).toBe(204);
    expect(await client.getEntry(key, options)).toMatchObject({
      status: 404,
      data: { code: 'CACHE_ERR_KEY_NOT_FOUND' },
    });
    expect((await client.clearCache({}, options)).data).toStrictEqual({ status: 'OK', removed: 0 });
    if (variant === '4096') {
      const { baseUrl } = options;
      expect((await client.getEntry(key, { baseUrl })).status).toBe(401);
      expect((await client.getHealth({ baseUrl })).status).toBe(200);
    }
  });
});

type Call<Argument> = (argument: Argument, options: object) => Promise<{ status: number; data: unknown }>;

interface GeneratedClient {
  readonly putEntry: Call<{ key: string; value: string; ttl?: number }>;
  readonly getEntry: Call<string>;
  readonly getEntryByQuery: Call<string>;
  readonly getEntryShort: Call<string>;
  readonly headEntry: Call<string>;
  readonly clearCache: Call<{ key?: string }>;
  readonly getStats: (options: object) => Promise<{ status: number; data: unknown }>;
  readonly getHealth: (options: object) => Promise<{ status: number; data: unknown }>;
}

/** What somebody writes who has generated the types. */
const USE_OF_TYPES = `
import type { components, operations, paths } from './types.js';

type Body = operations['putEntry']['requestBody']['content']['application/json'];
export const body: Body = { key: 'a', value: 'v' };
// @ts-expect-error a value is a string
export const wrong: Body = { key: 'a', value: 5 };
export const entry: components['schemas']['Entry'] = { status: 'OK', key: 'a', value: 'v' };
type Missing = paths['/cache/{key}']['get']['responses'][404]['content']['application/json'];
export const code: Missing['code'] = 'CACHE_ERR_KEY_NOT_FOUND';
// @ts-expect-error there is no such code
export const unknownCode: Missing['code'] = 'CACHE_ERR_NONE';
export const query: operations['getEntryByQuery']['parameters']['query'] = { key: 'a' };
// @ts-expect-error a key is wanted
export const noQuery: operations['getEntryByQuery']['parameters']['query'] = {};
export const states: components['schemas']['Stats']['shards'][number]['state'][] = ['up'];
`;
