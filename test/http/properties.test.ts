import {
  array,
  assert,
  asyncProperty,
  constantFrom,
  integer,
  oneof,
  record,
  string,
  stringMatching,
} from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { HttpClient, cachePath, shortPath } from '../support/http-client.ts';
import { type Operation, isLinearizable } from '../support/linearizable.ts';
import { IS_LONG } from '../support/long.ts';
import { printedSeed } from '../support/random.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const RUNS = IS_LONG ? 3000 : 40;
const TIMEOUT_MS = IS_LONG ? 1_200_000 : 60_000;
const CLIENTS = 8;
const SHARED_KEYS = 3;
const TEN_YEARS_S = 315_576_000;

let server: TestServer;
let clients: HttpClient[];

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2' });
  clients = Array.from({ length: CLIENTS }, () => new HttpClient(server.port));
});

afterAll(async () => {
  for (const client of clients) client.close();
  await server[Symbol.asyncDispose]();
});

beforeEach(() => clear(clients[0]));

const LARGE = 'x'.repeat(20_000);

/** Told apart from all others; every third is so large that it crosses threads by itself, past batches. */
function valueOf(client: number, n: number): string {
  return n % 3 === 0 ? `${client}.${n} ${LARGE}` : `${client}.${n}`;
}

type Kind = 'put' | 'put short' | 'put with ttl' | 'get' | 'get short' | 'head' | 'delete' | 'clear';

async function clear(client: HttpClient): Promise<void> {
  expect((await client.call({ method: 'DELETE', path: '/cache' })).status).toBe(200);
}

async function put(client: HttpClient, kind: Kind, key: string, value: string): Promise<void> {
  const ttl = kind === 'put with ttl' ? { ttl: TEN_YEARS_S } : {};
  const [method, path, status] =
    kind === 'put short' ? ['POST', '/put', 200] : (['PUT', '/cache', 201] as const);
  expect((await client.send(method, path, { key, value, ...ttl })).status).toBe(status);
}

/** The value, or null where there is none. */
async function get(client: HttpClient, kind: Kind, key: string): Promise<string | null> {
  const answer = await client.get(kind === 'get short' ? shortPath(key) : cachePath(key));
  if (answer.status === 404) return null;
  expect(answer.status).toBe(200);
  const body = JSON.parse(answer.text) as { key: string; value: string };
  expect(body.key).toBe(key);
  return body.value;
}

async function remove(client: HttpClient, key: string): Promise<boolean> {
  const { status } = await client.call({ method: 'DELETE', path: cachePath(key) });
  expect([204, 404]).toContain(status);
  return status === 204;
}

describe('many clients at once', () => {
  const seed = printedSeed('properties');
  let performed = 0;

  const step = record({
    key: integer({ min: 0, max: SHARED_KEYS - 1 }),
    kind: oneof(
      { weight: 3, arbitrary: constantFrom<Kind[]>('put', 'put short', 'put with ttl') },
      { weight: 5, arbitrary: constantFrom<Kind[]>('get', 'get short') },
      { weight: 2, arbitrary: constantFrom<Kind[]>('delete') },
      { weight: 1, arbitrary: constantFrom<Kind[]>('clear') },
    ),
  });
  const scripts = array(array(step, { minLength: 1, maxLength: 10, size: 'max' }), {
    minLength: 2,
    maxLength: CLIENTS,
    size: 'max',
  });

  test('on the same keys: the last acknowledged write wins', { timeout: TIMEOUT_MS }, async () => {
    const property = asyncProperty(scripts, async (all) => {
      await clear(clients[0]);
      const histories: Operation[][] = Array.from({ length: SHARED_KEYS }, () => []);
      let order = 0;
      const perform = async (client: number): Promise<void> => {
        for (const [n, { key, kind }] of all[client].entries()) {
          const sentAt = order++;
          const operation = await operate(clients[client], kind, `shared-${key}`, valueOf(client, n));
          const answered = { ...operation, sentAt, answeredAt: order++ };
          performed++;
          if (kind === 'clear') for (const history of histories) history.push(answered);
          else histories[key].push(answered);
        }
      };
      await Promise.all(all.map((_, client) => perform(client)));
      return histories.every(isLinearizable);
    });
    await assert(property, { seed, numRuns: RUNS * 3 });
    console.log(`same keys: ${performed} operations`);
    expect(performed).toBeGreaterThan(RUNS * 10);
  });

  async function operate(
    client: HttpClient,
    kind: Kind,
    key: string,
    value: string,
  ): Promise<Pick<Operation, 'kind' | 'value' | 'wasThere'>> {
    switch (kind) {
      case 'put':
      case 'put short':
      case 'put with ttl':
        await put(client, kind, key, value);
        return { kind: 'put', value };
      case 'clear':
        await clear(client);
        return { kind: 'clear', value: null };
      case 'delete':
        return { kind: 'delete', value: null, wasThere: await remove(client, key) };
      default:
        return { kind: 'get', value: await get(client, kind, key) };
    }
  }

  const ownStep = record({
    key: oneof(
      constantFrom(
        '__proto__',
        'constructor',
        'toString',
        '.',
        '..',
        '/',
        '%',
        '%2F',
        '?',
        '#',
        ' ',
        '+',
        '"',
        '\\',
      ),
      stringMatching(/^[\x20-\x7e]{1,20}$/),
    ),
    value: oneof(
      string({ maxLength: 50, unit: 'binary-ascii' }),
      integer({ min: 0, max: 5000 }).map((n) => 'x'.repeat(n)),
      // From 16 KiB on values and replies cross threads in another way.
      constantFrom(16_300, 16_383, 16_384, 40_000).map((n) => '"'.repeat(n)),
    ),
    kind: constantFrom<Kind[]>('put', 'put short', 'put with ttl', 'get', 'get short', 'head', 'delete'),
  });

  test('each on keys of its own: every answer is that of a Map', { timeout: TIMEOUT_MS }, async () => {
    let steps = 0;
    const ownScripts = array(array(ownStep, { maxLength: 40, size: 'max' }), {
      minLength: CLIENTS,
      maxLength: CLIENTS,
    });
    const property = asyncProperty(ownScripts, async (all) => {
      await clear(clients[0]);
      const held = await Promise.all(
        all.map(async (script, client) => {
          const model = new Map<string, string>();
          for (const one of script) {
            await compare(clients[client], model, { ...one, key: `${client}${one.key}` });
            steps++;
          }
          return model.size;
        }),
      );
      const { totals } = await server.client.stats();
      expect(totals.entries).toBe(held.reduce((sum, entries) => sum + entries, 0));
    });
    await assert(property, { seed, numRuns: RUNS });
    console.log(`keys of their own: ${steps} operations`);
    expect(steps).toBeGreaterThan(RUNS * 10);
  });

  async function compare(
    client: HttpClient,
    model: Map<string, string>,
    { kind, key, value }: { readonly kind: Kind; readonly key: string; readonly value: string },
  ): Promise<void> {
    if (kind === 'delete') {
      expect(await remove(client, key)).toBe(model.delete(key));
    } else if (kind === 'head') {
      const { status, bytes } = await client.call({ method: 'HEAD', path: cachePath(key) });
      expect(status).toBe(model.has(key) ? 200 : 404);
      expect(bytes).toHaveLength(0);
    } else if (kind.startsWith('get')) {
      expect(await get(client, kind, key)).toBe(model.get(key) ?? null);
    } else {
      await put(client, kind, key, value);
      model.set(key, value);
    }
  }
});

function got(value: string | null, sentAt: number, answeredAt: number): Operation {
  return { kind: 'get', value, sentAt, answeredAt };
}

describe('the check of histories', () => {
  const put1: Operation = { kind: 'put', value: '1', sentAt: 0, answeredAt: 1 };
  const put2: Operation = { kind: 'put', value: '2', sentAt: 2, answeredAt: 5 };
  test.each<[string, Operation[], boolean]>([
    ['takes either value while a write is under way', [put1, put2, got('1', 3, 4)], true],
    ['takes either value while a write is under way', [put1, put2, got('2', 3, 4)], true],
    ['refuses an old value after a write', [put1, put2, got('1', 6, 7)], false],
    [
      'refuses a value that goes back',
      [put1, { ...put2, answeredAt: 9 }, got('2', 3, 4), got('1', 5, 6)],
      false,
    ],
    ['refuses a value that was never put', [put1, got('3', 2, 3)], false],
    ['refuses a write that is lost', [put1, got(null, 2, 3)], false],
    [
      'refuses a delete that found nothing',
      [put1, { ...got(null, 2, 3), kind: 'delete', wasThere: false }],
      false,
    ],
  ])('%s', (_what, operations, expected) => {
    expect(isLinearizable(operations)).toBe(expected);
  });
});
