/** What one would write by hand: Fastify routes over lru-cache, in one thread. Compresses each time it is asked to. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import Fastify from 'fastify';
import { LRUCache } from 'lru-cache';

const cache = new LRUCache<string, string>({ max: 1_000_000 });
const compress = promisify(gzip);
const app = Fastify({ bodyLimit: 2 * 1024 * 1024 });

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
    const { key } = request.params;
    const value = cache.get(key);
    if (value === undefined) return reply.code(404).send({ status: 'ERROR', message: 'Key not found.' });
    if (value.length < 1024 || request.headers['accept-encoding'] !== 'gzip') {
      return reply.send({ status: 'OK', key, value });
    }
    reply.headers({ 'content-type': 'application/json; charset=utf-8', 'content-encoding': 'gzip' });
    return compress(reply.serialize({ status: 'OK', key, value })).then((body) => reply.send(body));
  },
);

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
