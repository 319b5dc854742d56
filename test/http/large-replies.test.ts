import { type ServerResponse, createServer } from 'node:http';
import { expect, test } from 'vitest';
import { LargeReplies } from '../../src/http/large-replies.ts';
import { RawSocket } from '../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';

test('a client that takes too long is cut off, also where its reply waits behind another', async () => {
  const responses: ServerResponse[] = [];
  const server = createServer((_request, response) => responses.push(response));
  const raw = await RawSocket.openTo(server);
  raw.write(GET.repeat(2));
  await expect.poll(() => responses.length).toBe(2);

  let nowMs = 0;
  const large = new LargeReplies(100, () => nowMs);
  let ends = 0;
  large.begin(responses[1], () => ends++);
  nowMs = 99;
  large.cutOffSlow();
  responses[0].write('part');
  await raw.until(/part/);
  nowMs = 100;
  large.cutOffSlow();
  await raw.ended();
  await expect.poll(() => ends).toBe(1);
});
