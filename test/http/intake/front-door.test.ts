import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { DoorLimits, FrontDoor } from '../../../src/http/intake/front-door.ts';
import { CALM_MS } from '../../../src/memory/pressure.ts';
import type { Traffic } from '../../../src/metrics/traffic.ts';
import { type GuardedServer, guardedServer } from '../../support/guarded-server.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';
const PROBE = 'GET /health HTTP/1.1\r\nhost: test\r\n\r\n';
const PUT_HEAD = (bytes: number): string =>
  `PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: ${bytes}\r\n\r\n`;

const clock = { ms: 5000 };
const responses: ServerResponse[] = [];
let limits: DoorLimits;
let door: FrontDoor;
let traffic: Traffic;
let port: number;
let pressures: GuardedServer['pressures'];

beforeEach(async () => {
  responses.length = 0;
  limits = { maxConnections: 2, reserve: 0, waiting: 0, stalledTimeoutMs: 30_000 };
  const guarded = guardedServer((_request, response) => responses.push(response), {
    doorLimits: limits,
    nowMs: () => clock.ms,
  });
  ({ door, traffic, pressures } = guarded);
  const { server } = guarded;
  onTestFinished(async () => {
    server.close();
    await expect.poll(() => door.size).toBe(0);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  ({ port } = server.address() as AddressInfo);
});

async function open(): Promise<RawSocket> {
  const before = door.size;
  const raw = await RawSocket.open(port);
  onTestFinished(() => raw.close());
  await expect.poll(() => raw.isEnded || door.size > before).toBe(true);
  return raw;
}

async function ask(raw: RawSocket, text = GET): Promise<void> {
  const before = responses.length;
  raw.write(text);
  await expect.poll(() => responses.length).toBe(before + 1);
}

/** Asks, is answered, and keeps the connection. */
async function rest(raw: RawSocket): Promise<void> {
  await ask(raw);
  responses.at(-1)!.end('answered');
  await raw.until(/answered/);
}

/** There is no place for one more, who is sent away. */
async function comeInVain(): Promise<void> {
  await (await open()).ended();
  door.sweep(clock.ms);
}

describe('when one connection too many comes', () => {
  test('reports once that some are refused and, after a calm, once that none are', async () => {
    for (const raw of [await open(), await open()]) await ask(raw);
    door.sweep(clock.ms);
    expect(pressures).toStrictEqual([]);
    const kind = 'connections';
    for (let i = 0; i < 3; i++) {
      await comeInVain();
      clock.ms += 1000;
    }
    expect(pressures).toStrictEqual([{ kind, isOn: true, lastedMs: 0 }]);
    clock.ms += CALM_MS - 1001;
    door.sweep(clock.ms);
    expect(pressures).toHaveLength(1);
    clock.ms += 1;
    door.sweep(clock.ms);
    door.sweep(clock.ms + CALM_MS);
    expect(pressures.slice(1)).toStrictEqual([{ kind, isOn: false, lastedMs: 2000 }]);
  });

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
    expect(traffic.counts.cutOffs).toMatchObject({ made_room: 1, waited: 3 });
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
    Object.assign(limits, { maxConnections: 3, reserve: 0, waiting: 0 });
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

  test('no more of those that rest make room than have been sent away', async () => {
    Object.assign(limits, { maxConnections: 5, reserve: 0, waiting: 0 });
    const resting: RawSocket[] = [];
    for (let i = 0; i < 5; i++) resting.push(await open());
    for (const raw of resting) await rest(raw);
    clock.ms += 1000;
    await (await open()).ended();
    await comeInVain();
    await expect
      .poll(() => resting.map(({ isEnded }) => isEnded))
      .toStrictEqual([true, true, false, false, false]);
    door.sweep(clock.ms);
    expect(door.size).toBe(3);
  });
});

describe('in the reserve', () => {
  const REFUSED = /^HTTP\/1\.1 503 .*^retry-after: 1\r.*^connection: close\r.*"code":"CACHE_ERR_BUSY"/ims;
  let busy: RawSocket;

  beforeEach(async () => {
    Object.assign(limits, { maxConnections: 1, reserve: 2, waiting: 0 });
    busy = await open();
    await ask(busy);
  });

  test('a probe is answered, and its connection closed', async () => {
    for (let i = 0; i < 5; i++) {
      const raw = await open();
      await ask(raw, PROBE);
      responses.at(-1)!.end('well');
      expect(await raw.ended()).toMatch(/^HTTP\/1\.1 200 .*^connection: close\r.*well/ims);
    }
    expect(busy.isEnded).toBe(false);
  });

  test.each([
    ['a read', GET],
    ['a path that begins like a probe', PROBE.replace('health', 'healthy')],
    ['a body that comes with its head', `${PUT_HEAD(5)}small`],
    ['an expectation', GET.replace('\r\n\r\n', '\r\nexpect: wonders\r\n\r\n')],
  ])('%s is refused with a reason', async (_what, text) => {
    const raw = await open();
    raw.write(text);
    expect(await raw.ended()).toMatch(REFUSED);
    expect(responses).toHaveLength(1);
  });

  test.each([
    ['GET', '/v1/cache/1', 404],
    ['PUT', '/v1/cache/1', 403],
    ['GET', '/v8/artifacts/1?slug=team', 404],
    ['PUT', '/v8/artifacts/1?slug=team', 503],
    ['GET', '/kv/v1/cache/1', 503],
  ])('a build tool gets a status that it takes: %s %s', async (method, path, status) => {
    const raw = await open();
    raw.write(`${method} ${path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n`);
    const answer = await raw.ended();
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*^connection: close\r`, 'im'));
    expect(answer).toMatch(/All connections are in use/);
  });

  test('a body is read to its end before it is refused: its client would be reset', async () => {
    const raw = await open();
    raw.write(`${PUT_HEAD(100_000)}${'x'.repeat(99_999)}`);
    await expect.poll(() => door.size).toBe(2);
    raw.write('x');
    expect(await raw.ended()).toMatch(REFUSED);
  });

  test('nothing is done of what comes behind the one request', async () => {
    const raw = await open();
    raw.write(`${PROBE}${GET}${PROBE}`);
    await expect.poll(() => responses.length).toBe(2);
    responses.at(-1)!.end('well');
    expect((await raw.ended()).match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(responses).toHaveLength(2);
  });

  test('who finds an ordinary place free when it asks has it from then on', async () => {
    const raw = await open();
    busy.close();
    await expect.poll(() => door.size).toBe(1);
    await rest(raw);
    await rest(raw);
    expect(raw.isEnded).toBe(false);
    const next = await open();
    next.write(GET);
    expect(await next.ended()).toMatch(REFUSED);
  });

  test.each([
    ['has asked nothing', ''],
    ['has begun a body that does not end', `${PUT_HEAD(5000)}{`],
  ])('when it is full newcomers wait, and one that %s makes room after a while', async (_what, text) => {
    Object.assign(limits, { maxConnections: 1, reserve: 1, waiting: 1 });
    const stuck = await open();
    if (text !== '') {
      // It is refused at the door, where only its bytes show that it has come.
      stuck.write(text);
      await expect
        .poll(() => [...door].map(({ isOrdinary, hasAsked }) => !isOrdinary && hasAsked))
        .toContain(true);
    }
    const first = await RawSocket.open(port);
    const raw = await RawSocket.open(port);
    onTestFinished(() => raw.close());
    raw.write(PROBE);
    // One more than may wait: the one that has waited longest goes.
    await first.ended();
    for (let sweep = 0; sweep < 4; sweep++) door.sweep(clock.ms);
    expect([stuck, raw].map(({ isEnded }) => isEnded)).toStrictEqual([false, false]);
    const before = responses.length;
    door.sweep(clock.ms);
    await stuck.ended();
    await expect.poll(() => responses.length).toBe(before + 1);
    responses.at(-1)!.end('well');
    expect(await raw.ended()).toMatch(/well/);
  });

  test('a newcomer that has waited for a second is sent away', async () => {
    Object.assign(limits, { maxConnections: 1, reserve: 0, waiting: 1 });
    const raw = await RawSocket.open(port);
    onTestFinished(() => raw.close());
    await expect.poll(() => door.waitingCount).toBe(1);
    for (let sweep = 0; sweep < 9; sweep++) door.sweep(clock.ms);
    expect(raw.isEnded).toBe(false);
    door.sweep(clock.ms);
    await raw.ended();
    expect(busy.isEnded).toBe(false);
  });

  test('who is refused there has those make room that rest for a second', async () => {
    responses[0].end('answered');
    await busy.until(/answered/);
    clock.ms += 1000;
    const raw = await open();
    raw.write(GET);
    expect(await raw.ended()).toMatch(REFUSED);
    door.sweep(clock.ms);
    await busy.ended();
    await rest(await open());
  });
});

test('a connection that goes without having asked is forgotten, however it goes', async () => {
  for (const end of [(raw: RawSocket) => raw.close(), (raw: RawSocket) => raw.socket.resetAndDestroy()]) {
    const raw = await open();
    end(raw);
    await expect.poll(() => door.size).toBe(0);
  }
  // It may be gone before it is accepted.
  const socket = connect(port, '127.0.0.1', () => socket.resetAndDestroy());
  await once(socket, 'close');
  await rest(await open());
});
