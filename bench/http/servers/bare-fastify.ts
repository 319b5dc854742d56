/** The ceiling for a server on Fastify: routing and body parsing, with constant answers. */
import Fastify from 'fastify';
import { DATA_SETS, type DataSetName, keyOf, valueOf } from '../workloads.ts';

const CONTENT_TYPE = 'application/json; charset=utf-8';
const STORED = JSON.stringify({ status: 'OK', message: 'Key inserted/updated successfully.' });
/** What a hit on a key of each data set looks like, by the first character of the key. */
const HITS = new Map(
  (Object.keys(DATA_SETS) as DataSetName[]).map((set) => [
    DATA_SETS[set].prefix,
    JSON.stringify({ status: 'OK', key: keyOf(set, 0), value: valueOf(set, 0) }),
  ]),
);
const app = Fastify({ bodyLimit: 2 * 1024 * 1024 });

app.get<{ Params: { key: string } }>('/cache/:key', (request, reply) => {
  void reply.header('content-type', CONTENT_TYPE).send(HITS.get(request.params.key[0]) ?? '');
});

app.put('/cache', (_request, reply) => {
  void reply.code(201).header('content-type', CONTENT_TYPE).send(STORED);
});

await app.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
