import swagger, { type SwaggerTransform } from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { createJsonSchemaTransformObject, jsonSchemaTransform } from 'fastify-type-provider-zod';
import { forwardedPrefix } from '../forwarded-prefix.ts';
import { errorResponses } from '../../api/response-schemas.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the document has of a route beside its schemas, in JSON Schema: what the route itself reads and judges. */
    documented?: {
      readonly consumes?: readonly string[];
      readonly body?: object;
      readonly querystring?: object;
      readonly headers?: object;
    };
  }
}

export interface OpenApiOptions {
  readonly version: string;
  readonly hasToken: boolean;
}

const DESCRIPTION =
  'An in-memory key-value cache. JSON in, JSON out; keys and values are ASCII. Any path may also answer ' +
  '401 (where a token is wanted), 408, 429 (where a rate limit is set), 431 and 503, in the shape of all errors.';

const TAGS = [
  { name: 'cache', description: 'Entries of the cache.' },
  { name: 'raw', description: 'The same entries as bytes, with types and conditions.' },
  { name: 'build tools', description: 'Nx and Turborepo.' },
  { name: 'short paths', description: 'The same entries.' },
  { name: 'operation', description: 'What those who run the server look at.' },
  { name: 'dashboard', description: 'What the page at `/dashboard` is made of; no part of the data API.' },
];

type Responses = Readonly<Record<string, { readonly description?: string }>>;

/** Adds to each route's schema the token, and what HEAD answers. */
function describe(hasToken: boolean): SwaggerTransform {
  return (document) => {
    const { method, config } = document.route;
    const wantsToken = hasToken && config?.access === undefined;
    const responses = { ...(document.schema.response as object), ...(wantsToken && errorResponses(401)) };
    const { schema, url } = jsonSchemaTransform({
      ...document,
      schema: { ...document.schema, response: responses },
    });
    const security = wantsToken ? [{ token: [] }] : [];
    return {
      url: url.replace(/\*$/, ':key'),
      schema: { ...schema, ...config?.documented, security, ...(method === 'HEAD' && asHead(schema)) },
    };
  };
}

/** The answers of a GET, without their bodies. */
function asHead({ operationId, response }: FastifySchema): FastifySchema {
  const responses = Object.entries(response as Responses).map(
    ([status, { description }]) => [status, { type: 'null', description }] as const,
  );
  // The plugin names it after the GET: `getEntry-head`.
  const id = operationId?.replace(/^get(.*)-head$/, 'head$1');
  return { ...(id !== undefined && { operationId: id }), response: Object.fromEntries(responses) };
}

interface Document {
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

/**
 * Removes the schemas that nothing refers to: the plugin adds each schema of an answer a second time, as if for requests.
 * And lets answers have further properties, which a later version may add.
 */
function tidySchemas(document: Document): Document {
  const { components } = document;
  const all = JSON.stringify(document);
  const schemas = Object.entries(components.schemas).filter(([name]) =>
    all.includes(`"#/components/schemas/${name}"`),
  );
  const text = JSON.stringify(Object.fromEntries(schemas), (name, value: unknown) =>
    name === 'additionalProperties' && value === false ? undefined : value,
  );
  return { ...document, components: { ...components, schemas: JSON.parse(text) as Record<string, object> } };
}

/** Collects the routes registered after it into the OpenAPI document. */
export async function registerOpenApi(
  app: FastifyInstance,
  { version, hasToken }: OpenApiOptions,
): Promise<void> {
  const addSchemas = createJsonSchemaTransformObject({});
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'key-value-cache',
        version,
        description: DESCRIPTION,
        license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT' },
      },
      servers: [{ url: '/' }],
      tags: TAGS,
      ...(hasToken && {
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      }),
    },
    transform: describe(hasToken),
    transformObject: (document) => tidySchemas(addSchemas(document) as Document),
  });
}

export function registerOpenApiRoute(app: FastifyInstance): void {
  app.get('/openapi.json', { schema: { hide: true }, config: { access: 'open' } }, (request) => ({
    ...app.swagger(),
    servers: [{ url: forwardedPrefix(request) || '/' }],
  }));
}
