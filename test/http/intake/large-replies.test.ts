import type { FastifyReply } from 'fastify';
import { type ServerResponse, createServer } from 'node:http';
import { expect, test } from 'vitest';
import { GarbageMeter } from '../../../src/http/garbage-meter.ts';
import { GetExchange } from '../../../src/http/exchanges.ts';
import { LargeReplies } from '../../../src/http/intake/large-replies.ts';
import { HIT } from '../../../src/shared/protocol.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';

test('a client that takes too long is cut off, also where its reply waits behind another', async () => {
  const responses: ServerResponse[] = [];
  const server = createServer((_request, response) => responses.push(response));
  const raw = await RawSocket.openTo(server);
  raw.write(GET.repeat(2));
  await expect.poll(() => responses.length).toBe(2);

  let cutOffs = 0;
  const large = new LargeReplies(
    100,
    () => 0,
    () => cutOffs++,
  );
  let ends = 0;
  large.begin(responses[1], () => ends++);
  large.sweep(99);
  responses[0].write('part');
  await raw.until(/part/);
  large.sweep(100);
  await raw.ended();
  await expect.poll(() => ends).toBe(1);
  expect(cutOffs).toBe(1);
});

test.each(['has taken it', 'has gone'])(
  'a reply gives its memory back once the client %s, not before',
  async (how) => {
    const payload = Buffer.allocUnsafeSlow(32 * 2 ** 20).fill('x');
    const { length } = payload;
    let isDelivered = false;
    const server = createServer((_request, response) => {
      const reply = { hijack: () => undefined, raw: response } as unknown as FastifyReply;
      const options = {
        gzipThresholdBytes: 0,
        largeReplies: new LargeReplies(
          1000,
          () => 0,
          () => undefined,
        ),
        garbage: new GarbageMeter(Infinity, () => undefined),
      };
      new GetExchange(reply, options).settle(HIT, payload, () => (isDelivered = true));
    });
    const raw = await RawSocket.openTo(server);
    raw.write(GET);
    await raw.until(/xxx/);
    raw.socket.pause();
    expect([isDelivered, payload.buffer.detached]).toStrictEqual([false, false]);
    if (how === 'has gone') raw.socket.resetAndDestroy();
    else raw.socket.resume();
    await expect.poll(() => isDelivered).toBe(true);
    expect(payload.buffer.detached).toBe(true);
    if (how === 'has gone') return;
    await expect.poll(() => raw.text.length).toBeGreaterThan(length);
    expect(/[^x]/.test(raw.text.slice(raw.text.indexOf('\r\n\r\n') + 4))).toBe(false);
  },
);
