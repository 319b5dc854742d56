/** The ceiling: HTTP of Node itself, with constant answers. */
import { createServer } from 'node:http';
import { CONTENT_TYPE, HITS, STORED } from './constant-answers.ts';

const KEY_START = '/cache/'.length;

createServer((request, response) => {
  if (request.method === 'PUT') {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      JSON.parse(Buffer.concat(chunks).toString());
      response.writeHead(201, { 'content-type': CONTENT_TYPE, 'content-length': STORED.length }).end(STORED);
    });
    return;
  }
  const body = HITS.get(request.url![KEY_START]) ?? '';
  response.writeHead(200, { 'content-type': CONTENT_TYPE, 'content-length': body.length }).end(body);
}).listen(Number(process.env['PORT']), '127.0.0.1');
