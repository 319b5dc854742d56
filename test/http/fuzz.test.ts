import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/api/errors.ts';
import { ChildServer } from '../support/child-server.ts';
import { GUARDED, type HostileText, hostileTexts } from '../support/fuzz.ts';
import { HttpClient, cachePath } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';
import { Random, printedSeed } from '../support/random.ts';

const REQUESTS = IS_LONG ? 200_000 : 4000;
const CONNECTIONS_AT_ONCE = 48;
const MOST_PER_CONNECTION = 24;
const GUARDED_KEYS = 100;
/** A hostile client that gets nothing more for a broken request for so long gives up. */
const PATIENCE_MS = 100;
/** And the server has closed the connection by then. */
const CLOSED_WITHIN_MS = 20_000;

/** Node itself answers 100 and 417, with nothing in them. */
const STATUSES = new Set([100, 200, 201, 204, 302, 417, ...Object.values(ERRORS)]);
STATUSES.delete(500);

/** As documented: the status, and an error's body whole. */
function isProper({ status, body }: Reply): boolean {
  if (!STATUSES.has(status)) return false;
  if (status < 400 || body === '' || body === LAST_CHUNK) return true;
  const { code, message } = JSON.parse(body) as { code: ErrorCode; message: unknown };
  return ERRORS[code] === status && typeof message === 'string';
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** Writes texts one after the other on one connection. @returns all that came back. */
function exchange(port: number, texts: readonly HostileText[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let received = '';
    const stuck = setTimeout(() => reject(new Error('not closed')), CLOSED_WITHIN_MS);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (received += chunk));
    if (texts.some(({ isBroken }) => isBroken)) socket.setTimeout(PATIENCE_MS, () => socket.end());
    // A server that has had enough may reset the connection while this end still writes.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(stuck);
      resolve(received);
    });
    for (const { text } of texts) socket.write(text, 'latin1');
    socket.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
  });
}

/** Cuts up what came back. What follows the head of an answer to HEAD is the next answer. */
function repliesOf(received: string): Reply[] {
  const replies: Reply[] = [];
  // The last one may have been cut off.
  for (let rest = received, head = HEAD.exec(rest); head; head = HEAD.exec(rest)) {
    rest = rest.slice(head[0].length);
    const length = rest.startsWith('HTTP/1.1 ') ? 0 : lengthOf(head[0], rest);
    replies.push({ status: Number(head[1]), body: rest.slice(0, length) });
    rest = rest.slice(length);
  }
  return replies;
}

const HEAD = /^HTTP\/1\.1 (\d{3}) [^]*?\r\n\r\n/;
const LAST_CHUNK = '0\r\n\r\n';

function lengthOf(head: string, rest: string): number {
  if (/^transfer-encoding: chunked/im.test(head)) return rest.indexOf(LAST_CHUNK) + LAST_CHUNK.length;
  return Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
}

test(
  `${REQUESTS} hostile requests: no crash, no 500, and every entry stored before still there`,
  { timeout: IS_LONG ? 1_800_000 : 60_000 },
  async () => {
    const seed = printedSeed('fuzz');
    const random = new Random(seed);
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '2' } });
    const client = new HttpClient(port);
    const guarded = Array.from({ length: GUARDED_KEYS }, (_, i) => ({
      key: `${GUARDED}${i}`,
      value: random.text(random.whole(0, 2000)),
    }));
    for (const { key, value } of guarded) expect((await client.put(key, value)).status).toBe(201);
    // What a well-behaved client sees meanwhile.
    const isThere = async ({ key, value }: { key: string; value: string }): Promise<void> => {
      const answer = await client.get(cachePath(key));
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.text)).toStrictEqual({ status: 'OK', key, value });
    };

    const statuses: Record<number, number> = {};
    const wrong: unknown[] = [];
    let connections = 0;
    let sent = 0;
    const attack = async (): Promise<void> => {
      while (sent < REQUESTS) {
        // Each connection has numbers of its own: how they take turns is not for the seed to say.
        const own = new Random(seed + ++connections);
        const texts = hostileTexts(own, Math.min(MOST_PER_CONNECTION, REQUESTS - sent));
        sent += texts.length;
        const replies = repliesOf(await exchange(port, texts));
        // Requests that are whole are all answered, and so is the one that closes the connection.
        const answered = replies.filter(({ status }) => status !== 100).length;
        if (!texts[0].isBroken && answered !== texts.length + 1) wrong.push({ answered, texts });
        for (const reply of replies) {
          statuses[reply.status] = (statuses[reply.status] ?? 0) + 1;
          if (!isProper(reply)) wrong.push({ reply, texts });
        }
        await isThere(guarded[own.whole(0, GUARDED_KEYS - 1)]);
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, attack));
    console.log(
      `${sent} hostile requests on ${connections} connections: ${JSON.stringify(statuses)}, ${wrong.length} wrong answers`,
    );

    expect(wrong.slice(0, 3)).toStrictEqual([]);
    // It has been attacked in earnest, and answered.
    for (const status of [200, 201, 400, 404, 405, 415, 431])
      expect(Object.keys(statuses)).toContain(String(status));
    for (const entry of guarded) await isThere(entry);
    const { totals } = await client.stats();
    expect(totals).toMatchObject({ restarts: 0, evicted: 0, shedEntries: 0 });
    await expect.poll(async () => (await client.stats()).totals.inFlight).toBe(0);
    client.close();
    child.signal('SIGTERM');
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
    expect(child.errors).toBe('');
    expect(child.output).not.toMatch(/"level":[456]0/);
  },
);
