import { once } from 'node:events';
import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Connections } from '../../src/http/connections.ts';
import { DirectRequest } from '../../src/http/direct-request.ts';
import { SilentConnections } from '../../src/http/silent-connections.ts';
import { RawSocket } from '../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';
const PUT_HEAD = (bytes: number): string =>
  `PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: ${bytes}\r\n\r\n`;
const LIMITS = {
  stalledTimeoutMs: 1000,
  most: 100,
  mostUnreadBytes: 100,
  mostHeldBytes: 100,
  isHeapFull: () => false,
};
const nowMs = (): number => performance.now();

/** One client's requests, which the test answers. */
async function askThreeThings() {
  const responses: ServerResponse[] = [];
  const server = createServer((_request, response) => responses.push(response));
  const connections = new Connections(server, LIMITS, nowMs);
  const raw = await RawSocket.openTo(server);
  raw.write(GET.repeat(3));
  await expect.poll(() => responses.length).toBe(3);
  return { connections, responses, raw };
}

test.each([
  ['requests', GET],
  ['requests that expect something', GET.replace('\r\n\r\n', '\r\nexpect: wonders\r\n\r\n')],
])(
  '%s without an answer are counted, and their connection closed when there are too many',
  async (_what, text) => {
    let taken = 0;
    const neverAnswer = (): void => void taken++;
    const server = createServer(neverAnswer).on('checkExpectation', neverAnswer);
    void new Connections(server, { ...LIMITS, most: 1 }, nowMs);
    const raw = await RawSocket.openTo(server);
    raw.write(text.repeat(40));
    await raw.ended();
    expect(taken).toBe(17);
  },
);

test('bodies that nobody takes are counted until they are, and who adds too much to them is cut off', async () => {
  const requests: DirectRequest[] = [];
  const responses: ServerResponse[] = [];
  const server = createServer({ IncomingMessage: DirectRequest }, (request, response) => {
    requests.push(request);
    responses.push(response);
  });
  const connections = new Connections(server, LIMITS, nowMs);
  const raw = await RawSocket.openTo(server);
  const put = `${PUT_HEAD(40)}${'x'.repeat(40)}`;
  raw.write(put.repeat(2));
  await expect.poll(() => connections.unreadBytes).toBe(80);
  requests[0].takeBody({ add: () => undefined, end: () => undefined });
  expect(connections.unreadBytes).toBe(40);
  responses[0].end();
  responses[1].end();
  await expect.poll(() => connections.unreadBytes).toBe(0);
  raw.write(put.repeat(2));
  await expect.poll(() => connections.unreadBytes).toBe(80);
  raw.write(put);
  await raw.ended();
  await expect.poll(() => connections.unreadBytes).toBe(0);
});

test('answers that cannot leave yet are counted until they have, and who adds too much to them is cut off', async () => {
  const { connections, responses, raw } = await askThreeThings();
  for (const response of responses.slice(1)) {
    response.end('x'.repeat(50));
    connections.hold(response, 50);
  }
  expect(connections.heldBytes).toBe(100);
  responses[0].end();
  await expect.poll(() => connections.heldBytes).toBe(0);
  raw.write(GET.repeat(3));
  await expect.poll(() => responses.length).toBe(6);
  for (const response of responses.slice(4)) connections.hold(response, 51);
  await raw.ended();
  await expect.poll(() => connections.heldBytes).toBe(0);
});

test('an answer whose client has gone is not counted: nobody would take it out again', async () => {
  const { connections, responses, raw } = await askThreeThings();
  raw.socket.resetAndDestroy();
  await expect.poll(() => connections.unanswered).toBe(0);
  for (const response of responses) {
    response.end('late');
    connections.hold(response, 30);
  }
  expect(connections.heldBytes).toBe(0);
});

test('an answer that is given up before its turn is counted, and so are those after it', async () => {
  const { connections, responses, raw } = await askThreeThings();
  responses[1].destroy();
  await expect.poll(() => connections.unanswered).toBe(2);
  for (const response of responses) response.end('there');
  await expect.poll(() => connections.unanswered).toBe(0);
  raw.close();
});

test('who takes nothing of an answer for too long is cut off, then and not later; who takes some is not', async () => {
  let socket: Socket | undefined;
  const server = createServer((request, response) => {
    ({ socket } = request);
    response.end('x'.repeat(2 ** 25));
  });
  const connections = new Connections(server, LIMITS, nowMs);
  const raw = await RawSocket.openTo(server);
  raw.socket.pause();
  raw.write(GET);
  await expect.poll(() => connections.unanswered).toBe(1);
  connections.cutOffStalled(0);
  raw.socket.resume();
  await expect.poll(() => raw.text.length).toBeGreaterThan(2 ** 22);
  raw.socket.pause();
  connections.cutOffStalled(1000);
  connections.cutOffStalled(1999);
  expect(socket!.destroyed).toBe(false);
  connections.cutOffStalled(2000);
  expect(socket!.destroyed).toBe(true);
});

test('a connection that goes without having asked is forgotten', async () => {
  const server = createServer();
  const silent = new SilentConnections(server, nowMs);
  const raw = await RawSocket.openTo(server);
  await expect.poll(() => silent.size).toBe(1);
  raw.close();
  await expect.poll(() => silent.size).toBe(0);
});

describe('when one connection too many comes', () => {
  const clock = { ms: 5000 };
  const responses: ServerResponse[] = [];
  let server: Server;
  let port: number;

  beforeEach(async () => {
    responses.length = 0;
    server = createServer((_request, response) => responses.push(response));
    void new Connections(server, LIMITS, () => clock.ms);
    server.maxConnections = 2;
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    ({ port } = server.address() as AddressInfo);
  });

  async function open(): Promise<RawSocket> {
    const raw = await RawSocket.open(port);
    onTestFinished(() => raw.close());
    return raw;
  }

  async function ask(raw: RawSocket): Promise<void> {
    const before = responses.length;
    raw.write(GET);
    await expect.poll(() => responses.length).toBe(before + 1);
  }

  /** There is no place for one more, who is sent away. */
  async function comeInVain(): Promise<void> {
    await (await open()).ended();
  }

  test('who has brought no request in a second makes room, who waits for an answer does not', async () => {
    const silent = await open();
    const busy = await open();
    await ask(busy);
    clock.ms += 999;
    await comeInVain();
    await comeInVain();
    expect(silent.isEnded).toBe(false);
    clock.ms += 1;
    await comeInVain();
    await silent.ended();
    await ask(await open());
    clock.ms += 10_000;
    await comeInVain();
    await comeInVain();
    expect(busy.isEnded).toBe(false);
  });

  test('who has not ended a small body in a second makes room before those that rest', async () => {
    const slow = await open();
    slow.write(PUT_HEAD(10));
    await expect.poll(() => responses.length).toBe(1);
    const resting = await open();
    await ask(resting);
    responses[1].end('answered');
    await resting.until(/answered$/);
    clock.ms += 999;
    await comeInVain();
    expect(slow.isEnded).toBe(false);
    clock.ms += 1;
    await comeInVain();
    await slow.ended();
    await ask(await open());
    expect(resting.isEnded).toBe(false);
  });

  test('who rests does not while most are about to have brought nothing in a second', async () => {
    server.maxConnections = 3;
    const resting = await open();
    await ask(resting);
    responses[0].end('answered');
    await resting.until(/answered$/);
    clock.ms += 5000;
    const silent = [await open(), await open()];
    await comeInVain();
    await comeInVain();
    expect(resting.isEnded).toBe(false);
    clock.ms += 1000;
    await comeInVain();
    for (const raw of silent) await raw.ended();
    expect(resting.isEnded).toBe(false);
  });

  test('who sends a larger body does not', async () => {
    const uploads = [await open(), await open()];
    for (const upload of uploads) upload.write(PUT_HEAD(4096));
    await expect.poll(() => responses.length).toBe(2);
    clock.ms += 10_000;
    await comeInVain();
    await comeInVain();
    for (const upload of uploads) expect(upload.isEnded).toBe(false);
  });

  test('who rests since a request that is a second old makes room', async () => {
    const resting = await open();
    await ask(resting);
    const busy = await open();
    await ask(busy);
    clock.ms += 999;
    await ask(resting);
    for (const response of responses) if (response !== responses[1]) response.end('answered');
    await resting.until(/answered.*answered$/s);
    clock.ms += 999;
    await comeInVain();
    await comeInVain();
    expect(resting.isEnded).toBe(false);
    clock.ms += 1;
    await comeInVain();
    await resting.ended();
    await ask(await open());
    expect(busy.isEnded).toBe(false);
  });
});
