import { type ServerResponse, createServer } from 'node:http';
import { expect, test } from 'vitest';
import { DirectRequest } from '../../../src/http/fast/direct-request.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const put = (path: string, body: string, bytes = body.length): string =>
  `PUT ${path} HTTP/1.1\r\nhost: test\r\ncontent-length: ${bytes}\r\n\r\n${body}`;

type Handler = (request: DirectRequest, response: ServerResponse) => void;

function connectTo(handle: Handler): Promise<RawSocket> {
  return RawSocket.openTo(createServer({ IncomingMessage: DirectRequest }, handle));
}

/** Answers with each piece of the body as it comes. */
function echo(request: DirectRequest, response: ServerResponse): void {
  request.takeBody({
    add: (chunk) => void response.write(`[${chunk.toString('latin1')}]`),
    end: () => response.end('.'),
  });
}

test('a body that has come whole is handed over before the next request', async () => {
  const events: string[] = [];
  const raw = await connectTo((request, response) => {
    events.push(`head ${request.url}`);
    request.takeBody({
      add: () => undefined,
      end: () => {
        events.push(`body ${request.url}`);
        response.end();
      },
    });
  });
  raw.write(put('/1', 'one') + put('/2', 'two'));
  await raw.until(/200 OK[^]*200 OK/);
  expect(events).toStrictEqual(['head /1', 'body /1', 'head /2', 'body /2']);
});

test('a body may come in pieces, and the connection is good for more', async () => {
  const raw = await connectTo(echo);
  raw.write(put('/', 'first', 11));
  await raw.until(/\[first\]/);
  raw.write('second');
  await raw.until(/\[second\][^]*\./);
  raw.write(
    'PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
  );
  await raw.until(/\[abc\][^]*\[de\][^]*\./);
  raw.write(put('/', 'last'));
  await raw.until(/\[last\]/);
});

test('what came before it was taken is not lost', async () => {
  const waiting: (() => void)[] = [];
  const requests: DirectRequest[] = [];
  const raw = await connectTo((request, response) => {
    requests.push(request);
    waiting.push(() => echo(request, response));
  });
  raw.write(put('/', 'early', 9));
  await expect.poll(() => requests[0]?.readableLength).toBe(5);
  waiting[0]();
  raw.write('late');
  await raw.until(/\[early\][^]*\[late\]/);
  raw.write(put('/', 'whole'));
  await expect.poll(() => requests[1]?.complete).toBe(true);
  waiting[1]();
  await raw.until(/\[whole\]/);
  raw.write('PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n');
  await expect.poll(() => requests[2]?.complete).toBe(true);
  raw.text = '';
  waiting[2]();
  await raw.until(/200 OK/);
});

test('a body that is broken off has an error and no end', async () => {
  const events: string[] = [];
  const raw = await connectTo((request) => {
    request.takeBody({ add: (chunk) => events.push(String(chunk)), end: () => events.push('end') });
    request.once('error', (error: Error & { code?: string }) => events.push(String(error.code)));
  });
  raw.write(put('/', 'half', 8));
  await expect.poll(() => events).toStrictEqual(['half']);
  raw.close();
  await expect.poll(() => events).toStrictEqual(['half', 'ECONNRESET']);
});

test('the stream ends too, or an idle connection would keep its last request', async () => {
  const requests: DirectRequest[] = [];
  const raw = await connectTo((request, response) => {
    requests.push(request);
    echo(request, response);
  });
  raw.write(put('/', 'body'));
  await raw.until(/\[body\]/);
  await expect.poll(() => requests[0].closed).toBe(true);
  expect(requests[0].aborted).toBe(false);
});
