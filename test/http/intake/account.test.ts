import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { beforeEach, describe, expect, test } from 'vitest';
import { accountOf } from '../../../src/http/intake/account.ts';
import type { FrontDoor } from '../../../src/http/intake/front-door.ts';
import type { DirectRequest } from '../../../src/http/fast/direct-request.ts';
import { type Purse, noHoldings } from '../../../src/http/intake/purse.ts';
import { guardedServer } from '../../support/guarded-server.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';
const PROBE = 'GET /health?deep HTTP/1.1\r\nhost: test\r\n\r\n';
const PUT_HEAD = (bytes: number): string =>
  `PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: ${bytes}\r\n\r\n`;

/** Sweeps until the door has checked who takes nothing of an answer. */
function look(door: FrontDoor, nowMs: number): void {
  for (let i = 0; i < 20; i++) door.sweep(nowMs);
}

/** One client's requests, which the test answers. */
async function askThreeThings() {
  const responses: ServerResponse[] = [];
  const { server, purse } = guardedServer((_request, response) => responses.push(response));
  const raw = await RawSocket.openTo(server);
  raw.write(GET.repeat(3));
  await expect.poll(() => responses.length).toBe(3);
  return { purse, responses, raw };
}

test.each([
  ['requests', GET],
  ['requests that expect something', GET.replace('\r\n\r\n', '\r\nexpect: wonders\r\n\r\n')],
])(
  '%s without an answer are counted, and their connection closed when there are too many',
  async (_what, text) => {
    let taken = 0;
    const neverAnswer = (): void => void taken++;
    const { server } = guardedServer(neverAnswer, { limits: { requests: 1 } });
    const raw = await RawSocket.openTo(server);
    raw.write(text.repeat(40));
    await raw.ended();
    expect(taken).toBe(16);
  },
);

test('bodies that nobody takes are counted until they are, and who adds too much to them is cut off', async () => {
  const requests: DirectRequest[] = [];
  const responses: ServerResponse[] = [];
  const { server, purse } = guardedServer((request, response) => {
    requests.push(request as DirectRequest);
    responses.push(response);
  });
  const raw = await RawSocket.openTo(server);
  const put = `${PUT_HEAD(40)}${'x'.repeat(40)}`;
  raw.write(put.repeat(2));
  await expect.poll(() => purse.totals.unreadBytes).toBe(80);
  requests[0].takeBody({ add: () => undefined, end: () => undefined });
  expect(purse.totals.unreadBytes).toBe(40);
  await expect.poll(() => responses.length).toBe(2);
  responses[0].end();
  responses[1].end();
  await expect.poll(() => purse.totals.unreadBytes).toBe(0);
  raw.write(put.repeat(2));
  await expect.poll(() => purse.totals.unreadBytes).toBe(80);
  raw.write(put);
  await raw.ended();
  await expect.poll(() => purse.totals.unreadBytes).toBe(0);
});

test('answers that cannot leave yet are counted until they have, and who adds too much to them is cut off', async () => {
  const { purse, responses, raw } = await askThreeThings();
  for (const response of responses.slice(1)) {
    response.end('x'.repeat(50));
    accountOf(response.req.socket)!.hold(response, 50);
  }
  expect(purse.totals.unsentBytes).toBe(100);
  responses[0].end();
  await expect.poll(() => purse.totals.unsentBytes).toBe(0);
  raw.write(GET.repeat(3));
  await expect.poll(() => responses.length).toBe(6);
  for (const response of responses.slice(4)) accountOf(response.req.socket)!.hold(response, 51);
  await raw.ended();
  await expect.poll(() => purse.totals.unsentBytes).toBe(0);
});

test('an answer whose client has gone is not counted: nobody would take it out again', async () => {
  const { purse, responses, raw } = await askThreeThings();
  raw.socket.resetAndDestroy();
  await expect.poll(() => purse.totals.requests).toBe(0);
  for (const response of responses) {
    response.end('late');
    accountOf(response.req.socket)!.hold(response, 30);
  }
  expect(purse.totals.unsentBytes).toBe(0);
});

test('an answer that is given up before its turn is counted, and so are those after it', async () => {
  const { purse, responses, raw } = await askThreeThings();
  responses[1].destroy();
  await expect.poll(() => purse.totals.requests).toBe(2);
  for (const response of responses) response.end('there');
  await expect.poll(() => purse.totals.requests).toBe(0);
  raw.close();
});

test('who takes nothing of an answer for too long is cut off, then and not later; who takes some is not', async () => {
  let socket: Socket | undefined;
  const { server, purse, door } = guardedServer((request, response) => {
    ({ socket } = request);
    response.end('x'.repeat(2 ** 25));
  });
  const raw = await RawSocket.openTo(server);
  raw.socket.pause();
  raw.write(GET);
  await expect.poll(() => purse.totals.requests).toBe(1);
  look(door, 0);
  raw.socket.resume();
  await expect.poll(() => raw.text.length).toBeGreaterThan(2 ** 22);
  raw.socket.pause();
  look(door, 1000);
  look(door, 30_999);
  expect(socket!.destroyed).toBe(false);
  look(door, 31_000);
  expect(socket!.destroyed).toBe(true);
});

describe('a connection that rests', () => {
  let socket: Socket;
  let door: FrontDoor;
  let raw: RawSocket;

  beforeEach(async () => {
    const guarded = guardedServer((request, response) => {
      ({ socket } = request);
      response.end('there');
    });
    ({ door } = guarded);
    guarded.server.keepAliveTimeout = 5000;
    raw = await RawSocket.openTo(guarded.server);
    raw.write(GET);
    await expect.poll(() => raw.text).toContain('there');
    await expect.poll(() => accountOf(socket)!.responses.length).toBe(0);
    look(door, 0);
  });

  test('is closed a second after its time, without a timer of its own', () => {
    expect(raw.text).toContain('Keep-Alive: timeout=5');
    expect(socket.timeout ?? 0).toBe(0);
    look(door, 5999);
    expect(socket.destroyed).toBe(false);
    look(door, 6000);
    expect(socket.destroyed).toBe(true);
  });

  test('does not, while any part of a request comes', async () => {
    const { bytesRead } = socket;
    raw.write('GET ');
    await expect.poll(() => socket.bytesRead).toBeGreaterThan(bytesRead);
    look(door, 6000);
    expect(socket.destroyed).toBe(false);
    look(door, 12_000);
    expect(socket.destroyed).toBe(true);
  });
});

test('with a full heap who adds to it is cut off, but for a probe alone on its connection', async () => {
  let taken = 0;
  const { server, purse } = guardedServer(() => void taken++, {
    limits: { requests: 0 },
    isHeapFull: () => true,
  });
  const raw = await RawSocket.openTo(server);
  raw.write(PROBE);
  await expect.poll(() => purse.totals.requests).toBe(1);
  expect(taken).toBe(1);
  raw.write(PROBE);
  await raw.ended();
  expect(taken).toBe(1);
});

describe('a request behind a body that nobody has taken', () => {
  const urls: string[] = [];
  let request: DirectRequest;
  let response: ServerResponse;
  let purse: Purse;
  let raw: RawSocket;

  beforeEach(async () => {
    urls.length = 0;
    const guarded = guardedServer((one, its) => {
      if (urls.push(one.url!) > 1) its.end();
      else [request, response] = [one as DirectRequest, its];
    });
    ({ purse } = guarded);
    raw = await RawSocket.openTo(guarded.server);
    const empty = 'PUT /3 HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n';
    raw.write(`${PUT_HEAD(4)}body${GET.replace('/', '/2')}${empty}`);
    raw.write(GET.replace('/', '/4'));
    await expect.poll(() => purse.totals.requests).toBe(4);
    expect(urls).toStrictEqual(['/']);
  });

  test('goes on when the body has been taken, and the next body holds up those behind it', async () => {
    let isDone = false;
    request.takeBody({
      add: () => undefined,
      end: () => {
        expect(urls).toStrictEqual(['/']);
        isDone = true;
      },
    });
    await expect.poll(() => urls).toStrictEqual(['/', '/2', '/3']);
    expect(isDone).toBe(true);
    // The third is answered without its body, and then no longer waited for.
    response.end();
    await expect.poll(() => urls).toStrictEqual(['/', '/2', '/3', '/4']);
    await expect.poll(() => purse.totals).toStrictEqual(noHoldings());
    raw.close();
  });

  test('never goes on when the client goes, and what all of them held is given back', async () => {
    const account = accountOf(request.socket)!;
    expect(account.charge('bodyBytes', 60)).toBe(true);
    let isGranted = false;
    purse.bodyQueue.enter(50, true, (isRoom) => (isGranted = isRoom));
    raw.socket.resetAndDestroy();
    await expect.poll(() => purse.totals).toStrictEqual(noHoldings());
    expect(isGranted).toBe(true);
    account.charge('bodyBytes', 10);
    account.release('bodyBytes', 60);
    request.discardBody();
    await expect.poll(() => response.closed).toBe(true);
    expect(purse.totals).toStrictEqual(noHoldings());
    expect(urls).toStrictEqual(['/']);
  });
});
