import { afterAll, beforeAll, expect, test } from 'vitest';
import { HttpClient } from '../../support/http-client.ts';
import { type Timed, canBeOrdered } from '../../support/linearizable.ts';
import { IS_LONG } from '../../support/long.ts';
import { Random, printedSeed } from '../../support/random.ts';
import { type TestServer, startTestServer } from '../../support/server.ts';

const ROUNDS = IS_LONG ? 2000 : 60;
const CLIENTS = 6;
const REQUESTS = 4;
const KEYS = 2;

const KINDS = ['put', 'create', 'replace', 'get', 'get if changed', 'delete', 'delete if seen'] as const;

interface Conditional extends Timed {
  readonly kind: (typeof KINDS)[number];
  readonly status: number;
  /** What was put, or what was read. */
  readonly value: string | null;
  /** What the condition names. */
  readonly seen: string | null;
}

function expectHeld(isRight: boolean, next: string | null): string | null | undefined {
  return isRight ? next : undefined;
}

/** What a key holds after a request, if the answer was right. */
function after({ kind, status, value, seen }: Conditional, held: string | null): string | null | undefined {
  switch (kind) {
    case 'put':
      return expectHeld(status === (held === null ? 201 : 204), value);
    case 'create':
      return held === null ? expectHeld(status === 201, value) : expectHeld(status === 412, held);
    case 'replace':
      return held === seen ? expectHeld(status === 204, value) : expectHeld(status === 412, held);
    case 'get':
      return expectHeld(status === (held === null ? 404 : 200) && value === held, held);
    case 'get if changed':
      if (held !== null && held === seen) return expectHeld(status === 304, held);
      return expectHeld(status === (held === null ? 404 : 200) && value === held, held);
    case 'delete':
      return expectHeld(status === 204, null);
    default:
      return held === seen ? expectHeld(status === 204, null) : expectHeld(status === 412, held);
  }
}

const METHODS = { put: 'PUT', create: 'PUT', replace: 'PUT', get: 'GET', 'get if changed': 'GET' } as const;

let server: TestServer;
let clients: HttpClient[];
let clock = 0;
/** The value that each tag was given for. */
const values = new Map<string, string>();

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2' });
  clients = Array.from({ length: CLIENTS }, () => new HttpClient(server.port));
});

afterAll(async () => {
  for (const client of clients) client.close();
  await server[Symbol.asyncDispose]();
});

/** Some cross in batches, some alone, and some in pieces. */
function valueOf(name: string, random: Random): string {
  if (random.chance(0.03)) return name + 'x'.repeat(1_200_000);
  return random.chance(0.3) ? name + 'x'.repeat(20_000) : name;
}

/** One client's requests, one after the other. @returns them by key. */
async function ask(client: HttpClient, name: string, random: Random): Promise<Conditional[][]> {
  const asked: Conditional[][] = Array.from({ length: KEYS }, () => []);
  const tags: (string | undefined)[] = [];
  for (let i = 0; i < REQUESTS; i++) {
    const key = random.whole(0, KEYS - 1);
    const tag = tags[key];
    const kinds = tag === undefined ? (['put', 'create', 'get', 'delete'] as const) : KINDS;
    const kind = kinds[random.whole(0, kinds.length - 1)];
    const isPut = kind === 'put' || kind === 'create' || kind === 'replace';
    const body = isPut ? valueOf(`${name}.${i} `, random) : undefined;
    const headers = {
      ...(kind === 'create' && { 'if-none-match': '*' }),
      ...(kind === 'get if changed' && { 'if-none-match': tag! }),
      ...((kind === 'replace' || kind === 'delete if seen') && { 'if-match': tag! }),
    };
    const method = kind in METHODS ? METHODS[kind as keyof typeof METHODS] : 'DELETE';
    const sentAt = clock++;
    const answer = await client.call({ method, path: `/kv/history/${key}`, headers, ...(body && { body }) });
    const { etag } = answer.headers;
    const isRead = method === 'GET' && answer.status === 200;
    if (etag !== undefined) tags[key] = etag;
    const value = body ?? (isRead ? answer.text : null);
    if (etag !== undefined && value !== null) values.set(etag, value);
    const seen = tag === undefined ? null : values.get(tag)!;
    asked[key].push({ kind, status: answer.status, value, seen, sentAt, answeredAt: clock++ });
  }
  return asked;
}

const TIMEOUT_MS = IS_LONG ? 600_000 : 60_000;

test(
  'conditional requests of many clients have an order in which all answers are right',
  { timeout: TIMEOUT_MS },
  async () => {
    const random = new Random(printedSeed('histories'));
    const statuses = new Set<number>();
    for (let round = 0; round < ROUNDS; round++) {
      for (let key = 0; key < KEYS; key++) {
        await clients[0].call({ method: 'DELETE', path: `/kv/history/${key}` });
      }
      const asked = await Promise.all(
        clients.map((client, i) => ask(client, `${round}.${i}`, new Random(random.whole(0, 2 ** 31)))),
      );
      for (let key = 0; key < KEYS; key++) {
        const history = asked.flatMap((own) => own[key]);
        for (const { status } of history) statuses.add(status);
        expect(canBeOrdered(history, after), JSON.stringify(history).slice(0, 3000)).toBe(true);
      }
    }
    expect(statuses).toStrictEqual(new Set([200, 201, 204, 304, 404, 412]));
  },
);
