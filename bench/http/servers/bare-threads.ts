/** What the machine itself can scale to: HTTP threads that share a port and nothing else, with a constant answer. */
import { createServer } from 'node:http';
import { Worker, isMainThread } from 'node:worker_threads';

const BODY = JSON.stringify({ status: 'OK', key: 's'.repeat(16), value: 'v'.repeat(100) });
const THREADS = Number(process.env['THREADS']);

if (isMainThread) {
  const url = new URL(import.meta.url);
  for (let i = 1; i < THREADS; i++) new Worker(url).on('error', (error) => console.error(error));
}
createServer((request, response) => {
  if (request.method === 'PUT') response.statusCode = 201;
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.end(BODY);
}).listen({ port: Number(process.env['PORT']), host: '127.0.0.1', reusePort: true });
