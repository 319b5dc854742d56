import { afterEach, beforeEach, expect, test } from 'vitest';
import { cachePath } from '../support/http-client.ts';
import { Neighbour } from '../support/neighbour.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const IS_LONG = process.env['KVC_LONG'] === '1';
/** What the README says, and the short form makes shorter. */
const DOCUMENTED = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 72_000,
};
const DOCUMENTED_STALLED_MS = 30_000;
const SHORTENED = { headersTimeout: 500, requestTimeout: 1000, keepAliveTimeout: 1500 };
const TIMEOUTS = IS_LONG ? DOCUMENTED : SHORTENED;
const STALLED_MS = IS_LONG ? DOCUMENTED_STALLED_MS : 1500;
/** Node looks every two seconds; what is left is for a machine that is busy with something else. */
const SLACK_MS = 8000;
const CLIENTS = IS_LONG ? 1000 : 50;
const IDLE_CLIENTS = IS_LONG ? 5000 : 300;
const DRIP_INTERVAL_MS = IS_LONG ? 1000 : 100;
/** The machine may be busy, but nobody waits for a slow client. */
const MOST_LATENCY_MS = 3000;
const ROUNDS = IS_LONG ? 100 : 6;
/** Room for 64 large bodies, and for as many large replies. Larger values would have more time. */
const SETTINGS = { MEMORY_LIMIT: '16gb', SHARDS: '1', REQUEST_DEADLINE_MS: '5000', MAX_RAW_BYTES: '1kb' };
const LARGE_CLIENTS = 32;
const MIB = 2 ** 20;

let server: TestServer;
const clients: RawSocket[] = [];
const drips: NodeJS.Timeout[] = [];

beforeEach(async () => {
  server = await startTestServer(SETTINGS);
  const { app } = server;
  expect(app.server).toMatchObject(DOCUMENTED);
  Object.assign(app.server, TIMEOUTS);
  expect(app.frontDoor.limits.stalledTimeoutMs).toBe(DOCUMENTED_STALLED_MS);
  Object.assign(app.frontDoor.limits, { stalledTimeoutMs: STALLED_MS });
});

afterEach(async () => {
  for (const timer of drips.splice(0)) clearInterval(timer);
  for (const client of clients.splice(0)) client.close();
  await server[Symbol.asyncDispose]();
});

async function openClients(count: number, begin?: (raw: RawSocket) => void): Promise<RawSocket[]> {
  const opened = await RawSocket.openMany(server.port, count, { isStubborn: true, ...(begin && { begin }) });
  clients.push(...opened);
  return opened;
}

/** Goes on writing a little now and then, whatever comes back, until the connection is gone. */
function drip(raw: RawSocket, piece: string): void {
  drips.push(setInterval(() => !raw.isEnded && raw.write(piece), DRIP_INTERVAL_MS));
}

function connections(): Promise<number> {
  return new Promise((resolve) => server.app.server.getConnections((_error, count) => resolve(count)));
}

/** Waits until the server holds no connection but the neighbour's. */
async function untilFreed(afterMs: number): Promise<void> {
  await expect.poll(connections, { interval: 50, timeout: afterMs + SLACK_MS }).toBe(1);
}

function putHead(length: number): string {
  return `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
}

const CHUNKED_HEAD = putHead(0).replace('content-length: 0', 'transfer-encoding: chunked');

/** Puts a body through after body that wants much of the room, and reads as much. */
async function expectNothingHeld(): Promise<void> {
  const { client } = server;
  const value = 'x'.repeat(MIB);
  for (let i = 0; i < 20; i++) {
    expect((await client.put(`after-${i}`, value)).status).toBe(201);
    expect((await client.get(cachePath(`after-${i}`))).text.length).toBeGreaterThan(MIB);
  }
  expect((await client.stats()).totals.inFlight).toBe(0);
}

/** Runs with a neighbour beside it that must notice nothing. */
async function beside(misbehave: () => Promise<void>): Promise<void> {
  const neighbour = new Neighbour(server.port);
  try {
    await expect.poll(() => neighbour.requests).toBeGreaterThan(20);
    await misbehave();
  } finally {
    await neighbour[Symbol.asyncDispose]();
  }
  console.log(`neighbour: ${neighbour.requests} requests, slowest ${Math.round(neighbour.slowestMs)} ms`);
  expect(neighbour.surprises).toStrictEqual([]);
  expect(neighbour.slowestMs).toBeLessThan(MOST_LATENCY_MS);
  await expectNothingHeld();
}

/** A kind of client that must be got rid of within a timeout, and what it is told, if anything. */
interface Kind {
  readonly count: number;
  readonly writes?: string;
  /** Written again and again. */
  readonly drips?: string;
  readonly halfCloses?: boolean;
  readonly neverReads?: boolean;
  readonly withinMs: number;
  readonly told?: RegExp;
}

const TIMED_OUT = /^HTTP\/1\.1 408 [^]*"CACHE_ERR_REQUEST_TIMEOUT"/;
const { headersTimeout, requestTimeout, keepAliveTimeout } = TIMEOUTS;
const GET_NONE = 'GET /cache/none HTTP/1.1\r\nhost: test\r\n\r\n';
const GET_LARGE = GET_NONE.replace('none', 'large');

const KINDS: Readonly<Record<string, Kind>> = {
  'never ask': { count: IDLE_CLIENTS, withinMs: headersTimeout },
  'never end their headers': {
    count: CLIENTS,
    writes: 'GET /cache/a HTTP/1.1\r\nhost: test\r\nx: ',
    drips: 'x',
    withinMs: headersTimeout,
    told: TIMED_OUT,
  },
  'never end a small body': {
    count: CLIENTS,
    writes: `${putHead(4000)}{"key":"`,
    drips: 'x',
    withinMs: requestTimeout,
    told: TIMED_OUT,
  },
  'never end a large body': {
    count: LARGE_CLIENTS,
    writes: putHead(MIB),
    drips: 'x',
    withinMs: requestTimeout,
    told: TIMED_OUT,
  },
  // Each of these may become as large as any body.
  'never end a chunked body': {
    count: 3,
    writes: CHUNKED_HEAD,
    drips: '1\r\nx\r\n',
    withinMs: requestTimeout,
    told: TIMED_OUT,
  },
  // Whichever of two timeouts comes first: one says nothing.
  'never begin their body': { count: 8, writes: putHead(MIB), withinMs: requestTimeout },
  'never read what they asked for': {
    count: 8,
    writes: GET_LARGE.repeat(8),
    neverReads: true,
    withinMs: STALLED_MS,
  },
  'rest after an answer': {
    count: CLIENTS,
    writes: GET_NONE,
    withinMs: keepAliveTimeout,
    told: /^HTTP\/1\.1 404 [^]*Key not found/,
  },
  'close their side in the middle of a body': {
    count: CLIENTS,
    writes: `${putHead(10_000)}{"key":"`,
    halfCloses: true,
    withinMs: 0,
  },
  'close their side before the answer': { count: CLIENTS, writes: GET_NONE, halfCloses: true, withinMs: 0 },
};

async function openKind({
  count,
  writes = '',
  drips: piece,
  halfCloses,
  neverReads,
}: Kind): Promise<RawSocket[]> {
  return openClients(count, (raw) => {
    if (neverReads) raw.socket.pause();
    raw.write(writes);
    if (halfCloses) raw.socket.end();
    if (piece !== undefined) drip(raw, piece);
  });
}

const TIMEOUT = { timeout: IS_LONG ? 240_000 : 60_000 };

test('slow clients of every kind at once: each is got rid of in time, and told why', TIMEOUT, () =>
  beside(async () => {
    await server.client.put('large', 'x'.repeat(MIB));
    server.client.close();
    await Promise.all(
      Object.entries(KINDS).map(async ([name, kind]) => {
        const opened = await openKind(kind);
        // Who does not read does not see the end: the count of connections below speaks for them.
        if (kind.neverReads) return;
        const left = (): number =>
          opened.filter(({ isEnded, socket }) => !isEnded && !socket.readableEnded).length;
        const waiting = { interval: 50, timeout: kind.withinMs + SLACK_MS, message: `clients that ${name}` };
        await expect.poll(left, waiting).toBe(0);
        if (kind.told) for (const { text } of opened) expect(text, name).toMatch(kind.told);
      }),
    );
    await untilFreed(STALLED_MS);
  }),
);

test('connections that rest make room in a second when there are as many as may be', async () => {
  Object.assign(server.app.frontDoor.limits, { maxConnections: 20, reserve: 0, waiting: 0 });
  const resting = await openClients(20, (raw) => raw.write(GET_NONE));
  await expect.poll(() => resting.every(({ text }) => text.includes('Key not found'))).toBe(true);
  const isStored = async (): Promise<boolean> => {
    try {
      return (await server.client.put('a', '1')).status === 201;
    } catch {
      // Who finds no place is sent away, and tries again.
      return false;
    }
  };
  await expect.poll(isStored, { timeout: 5000 }).toBe(true);
});

test('uploads and answers that are broken off in the middle', TIMEOUT, () =>
  beside(async () => {
    await server.client.put('large', 'x'.repeat(MIB));
    server.client.close();
    // All of them together are many times the room that there is.
    for (let round = 0; round < ROUNDS; round++) {
      const opened = await openClients(32);
      for (const [i, raw] of opened.entries()) {
        if (i % 2 === 0) raw.write(`${putHead(MIB + 30)}{"key":"broken","value":"${'x'.repeat(MIB / 8)}`);
        else raw.write(GET_LARGE.repeat(2));
      }
      const readers = opened.filter((_, i) => i % 2 === 1);
      await expect.poll(() => readers.every(({ text }) => text.startsWith('HTTP/1.1 200'))).toBe(true);
      for (const [i, raw] of opened.entries()) {
        if (i % 4 < 2) raw.socket.resetAndDestroy();
        else raw.close();
      }
    }
    await untilFreed(0);
    expect((await server.client.get('/cache/broken')).status).toBe(404);
  }),
);
