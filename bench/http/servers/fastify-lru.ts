/** What one would write by hand: a Fastify route over lru-cache, in one thread; `--compress` for gzip. */
import compress from '@fastify/compress';
import Fastify from 'fastify';
import { LRUCache } from 'lru-cache';

const cache = new LRUCache<string, string>({ max: 1_000_000 });
const app = Fastify({ bodyLimit: 2 * 1024 * 1024 });
if (process.argv.includes('--compress'))
  await app.register(compress, { threshold: 1024, encodings: ['gzip'] });

const text = { type: 'string' } as const;
const answerSchema = {
  type: 'object',
  properties: { status: text, message: text, key: text, value: text },
} as const;

app.put<{ Body: { key: string; value: string; ttl?: number } }>(
  '/cache',
  {
    schema: {
      body: {
        type: 'object',
        required: ['key', 'value'],
        additionalProperties: false,
        properties: {
          key: { type: 'string', minLength: 1, maxLength: 256 },
          value: { type: 'string', maxLength: 1024 * 1024 },
          ttl: { type: 'number', exclusiveMinimum: 0 },
        },
      },
      response: { 201: answerSchema },
    },
  },
  (request, reply) => {
    const { key, value, ttl } = request.body;
    cache.set(key, value, ttl === undefined ? {} : { ttl: ttl * 1_000 });
    void reply.code(201).send({ status: 'OK', message: 'Key inserted/updated successfully.' });
  },
);

app.get<{ Params: { key: string } }>(
  '/cache/:key',
  {
    schema: {
      params: { type: 'object', properties: { key: { type: 'string', minLength: 1, maxLength: 256 } } },
      response: { 200: answerSchema, 404: answerSchema },
    },
  },
  (request, reply) => {
    const value = cache.get(request.params.key);
    if (value === undefined) void reply.code(404).send({ status: 'ERROR', message: 'Key not found.' });
    else void reply.send({ status: 'OK', key: request.params.key, value });
  },
);

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
