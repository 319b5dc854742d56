/** The ceiling for a server on Fastify: routing and body parsing, with constant answers. */
import Fastify from 'fastify';
import { CONTENT_TYPE, HITS, STORED } from './constant-answers.ts';

const app = Fastify({ bodyLimit: 2 * 1024 * 1024 });

app.get<{ Params: { key: string } }>('/cache/:key', (request, reply) => {
  void reply.header('content-type', CONTENT_TYPE).send(HITS.get(request.params.key[0]) ?? '');
});

app.put('/cache', (_request, reply) => {
  void reply.code(201).header('content-type', CONTENT_TYPE).send(STORED);
});

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
