import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { DirectRequest } from '../../src/http/direct-request.ts';
import { guardedServer } from '../support/guarded-server.ts';
import { RawSocket } from '../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';
const PROBE = 'GET /health?deep HTTP/1.1\r\nhost: test\r\n\r\n';
const PUT_HEAD = (bytes: number): string =>
  `PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: ${bytes}\r\n\r\n`;
/** One client's requests, which the test answers. */
async function askThreeThings() {
  const responses: ServerResponse[] = [];
  const { server, connections, traffic } = guardedServer((_request, response) => responses.push(response));
  const raw = await RawSocket.openTo(server);
  raw.write(GET.repeat(3));
  await expect.poll(() => responses.length).toBe(3);
  return { connections, responses, raw, traffic };
}

test.each([
  ['requests', GET],
  ['requests that expect something', GET.replace('\r\n\r\n', '\r\nexpect: wonders\r\n\r\n')],
])(
  '%s without an answer are counted, and their connection closed when there are too many',
  async (_what, text) => {
    let taken = 0;
    const neverAnswer = (): void => void taken++;
    const { server } = guardedServer(neverAnswer, { limits: { most: 1 } });
    const raw = await RawSocket.openTo(server);
    raw.write(text.repeat(40));
    await raw.ended();
    expect(taken).toBe(16);
  },
);

test('bodies that nobody takes are counted until they are, and who adds too much to them is cut off', async () => {
  const requests: DirectRequest[] = [];
  const responses: ServerResponse[] = [];
  const { server, connections, traffic } = guardedServer((request, response) => {
    requests.push(request as DirectRequest);
    responses.push(response);
  });
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
  expect(traffic.counts.cutOffs.unread_bodies).toBe(1);
});

test('answers that cannot leave yet are counted until they have, and who adds too much to them is cut off', async () => {
  const { connections, responses, raw, traffic } = await askThreeThings();
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
  expect(traffic.counts.cutOffs.held_answers).toBe(1);
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
  const { server, connections, door, traffic } = guardedServer((request, response) => {
    ({ socket } = request);
    response.end('x'.repeat(2 ** 25));
  });
  const raw = await RawSocket.openTo(server);
  raw.socket.pause();
  raw.write(GET);
  await expect.poll(() => connections.unanswered).toBe(1);
  connections.cutOffStalled(door, 0);
  raw.socket.resume();
  await expect.poll(() => raw.text.length).toBeGreaterThan(2 ** 22);
  raw.socket.pause();
  connections.cutOffStalled(door, 1000);
  connections.cutOffStalled(door, 1999);
  expect(socket!.destroyed).toBe(false);
  connections.cutOffStalled(door, 2000);
  expect(socket!.destroyed).toBe(true);
  expect(traffic.counts.cutOffs).toMatchObject({ stalled: 1, unanswered: 0 });
});

test('with a full heap who adds to it is cut off, but for a probe alone on its connection', async () => {
  let taken = 0;
  const { server, connections } = guardedServer(() => void taken++, {
    limits: { most: 0, isHeapFull: () => true },
  });
  const raw = await RawSocket.openTo(server);
  raw.write(PROBE);
  await expect.poll(() => connections.unanswered).toBe(1);
  expect(taken).toBe(1);
  raw.write(PROBE);
  await raw.ended();
  expect(taken).toBe(1);
});
