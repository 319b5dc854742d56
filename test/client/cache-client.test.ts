import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { CacheClient, type CacheClientOptions, CacheError } from '../../src/client/cache-client.ts';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { freePort } from '../support/free-port.ts';
import { IS_LONG } from '../support/long.ts';
import { runProgram } from '../support/run.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2' });
});
afterAll(() => server.close());

function connect(options?: CacheClientOptions, port = server.port): CacheClient {
  const cache = new CacheClient(`http://127.0.0.1:${port}`, options);
  onTestFinished(() => cache.close());
  return cache;
}

/** HTTP requests that the server has had so far. */
function requestCount(): number {
  return server.app.traffic.times.snapshot().reduce((sum, { cumulative }) => sum + cumulative.at(-1)!, 0);
}

let cache: CacheClient;
beforeEach(() => {
  cache = connect();
});

test('what is set is what is got: text, bytes and JSON', async () => {
  await cache.set('text', 'grün 🌱');
  expect(await cache.get('text')).toBe('grün 🌱');
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await cache.set('bytes', bytes, { ttlMs: 60_000 });
  expect(await cache.getBytes('bytes')).toStrictEqual(bytes);
  await cache.setJson('json', { a: [1, null, 'ä'] });
  expect(await cache.getJson('json')).toStrictEqual({ a: [1, null, 'ä'] });
  expect(await cache.get('nothing')).toBeUndefined();
});

test('has, delete and clear say what was there; stats tells what /stats tells', async () => {
  await cache.set('here', '');
  expect([await cache.has('here'), await cache.has('not here')]).toStrictEqual([true, false]);
  expect([await cache.delete('here'), await cache.delete('here')]).toStrictEqual([true, false]);
  await cache.setMany([
    { key: 'a', value: '1' },
    { key: 'b', value: '2', ttlMs: 50_000 },
  ]);
  expect(await cache.getMany(['a', 'b', 'c'])).toStrictEqual(['1', '2', undefined]);
  expect(await cache.deleteMany(['a', 'c'])).toStrictEqual([true, false]);
  expect(await cache.clear()).toBeGreaterThan(0);
  expect(await cache.get('b')).toBeUndefined();
  expect(await cache.stats()).toMatchObject({ status: 'OK' });
});

test('what is asked in one turn leaves together, and in its order', async () => {
  const before = requestCount();
  const one = connect({ connections: 1 });
  const values = await Promise.all(
    Array.from({ length: 100 }, (_, i) => [one.set('turn', String(i)), one.get('turn')]).flat(),
  );
  expect(values.filter((value) => value !== undefined)).toStrictEqual(
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
  await expect.poll(() => requestCount() - before).toBe(1);
});

test('without batching each call is a request of its own', async () => {
  const before = requestCount();
  const alone = connect({ batching: false });
  await alone.getMany(['a', 'b', 'c']);
  await expect.poll(() => requestCount() - before).toBe(3);
});

test('an error of the server has its code and status; others of the batch are fine', async () => {
  const [bad, good] = await Promise.allSettled([cache.get('ä'), cache.set('good', 'x')]);
  expect(good.status).toBe('fulfilled');
  expect(bad).toMatchObject({ reason: { code: 'CACHE_ERR_KEY_INVALID', status: 400 } });
});

test('the token is sent; without it calls are refused', async () => {
  await using locked = await startTestServer({ SHARDS: '1', AUTH_TOKEN: 'sesame' });
  const open = connect({ token: 'sesame' }, locked.port);
  await open.set('a', '1');
  expect(await open.get('a')).toBe('1');
  await expect(connect({}, locked.port).get('a')).rejects.toMatchObject({
    code: 'CACHE_ERR_UNAUTHORIZED',
    status: 401,
  });
});

test('an argument of a wrong type fails its own call, not the others of the batch', async () => {
  const key = 5 as unknown as string;
  const wrong = [5, undefined, {}, new ArrayBuffer(4), new Float64Array(1), new DataView(new ArrayBuffer(4))];
  const [first, last, ...refused] = await Promise.allSettled([
    cache.set('right', '1'),
    cache.get('right'),
    ...wrong.map((value) => cache.set('wrong', value as unknown as string)),
    cache.get(key),
    cache.set(key, '1'),
    cache.delete(key),
  ]);
  expect([first.status, last.status]).toStrictEqual(['fulfilled', 'fulfilled']);
  for (const result of refused) {
    expect(result).toMatchObject({ status: 'rejected', reason: { name: 'TypeError' } });
  }
  expect(await cache.has('wrong')).toBe(false);
});

test('a key that no request can carry is refused like any other', async () => {
  const large = 'x'.repeat(2 ** 20 + 1);
  const error = { code: 'CACHE_ERR_KEY_INVALID', status: 400 };
  await expect(cache.get('x'.repeat(70_000))).rejects.toMatchObject(error);
  for (const key of ['.', '..', '\ud800']) await expect(cache.set(key, large)).rejects.toMatchObject(error);
});

test.each<[CacheClientOptions, string]>([
  [{ connections: 0 }, 'connections must be'],
  [{ connections: 1.5 }, 'connections must be'],
  [{ timeoutMs: 0 }, 'timeoutMs must be'],
  [{ timeoutMs: NaN }, 'timeoutMs must be'],
  [{ timeoutMs: 1e10 }, 'timeoutMs must be'],
  [{ token: 'secret\n' }, 'token must be'],
  [{ onUnavailable: 'mis' as 'miss' }, 'onUnavailable must be'],
])('options that are not valid are refused at once: %o', (options, message) => {
  expect(() => new CacheClient('http://127.0.0.1', options)).toThrow(message);
});

test('a URL without its scheme is refused at once', () => {
  expect(() => new CacheClient('localhost:7171')).toThrow('must begin with http:// or https://');
});

test('a process ends when its calls are over, though it has not closed the client', async () => {
  const client = new URL('../../src/client/cache-client.ts', import.meta.url).href;
  const program = `
    import { CacheClient } from '${client}';
    const cache = new CacheClient('http://127.0.0.1:${server.port}', { timeoutMs: 60_000 });
    await Promise.all([cache.set('ended', '1'), cache.get('ended')]);
    console.log(await cache.get('ended'));`;
  expect(await runProgram(process.execPath, ['--input-type=module', '-e', program], { cwd: tmpdir() })).toBe(
    '1\n',
  );
});

test('a call that is aborted settles at once, and takes nothing with it', async () => {
  const abort = new AbortController();
  const given = expect(cache.get('a', { signal: abort.signal })).rejects.toThrow('enough');
  const other = cache.has('a');
  abort.abort(new Error('enough'));
  await given;
  expect(await other).toBe(false);
  await expect(cache.get('a', { signal: abort.signal })).rejects.toThrow('enough');
});

test('after close every call is refused', async () => {
  const closed = connect();
  const waiting = closed.get('a');
  const refused = expect(waiting).rejects.toMatchObject({ code: 'CACHE_ERR_CLIENT_CLOSED' });
  await closed.close();
  await refused;
  await expect(closed.set('a', '1')).rejects.toMatchObject({ code: 'CACHE_ERR_CLIENT_CLOSED' });
});

describe('without a server', () => {
  test('calls are rejected within their time, then at once, and go on when it is there', async () => {
    const port = freePort();
    const lonely = connect({ timeoutMs: 1000 }, await port);
    const beganMs = performance.now();
    // On a busy machine the time may be over while it is tried once more.
    await expect(lonely.get('a')).rejects.toMatchObject({
      code: expect.stringMatching(/^CACHE_ERR_CLIENT_(CONNECTION|TIMEOUT)$/),
      status: 0,
    });
    expect(performance.now() - beganMs).toBeLessThan(1100);
    await expect(lonely.get('a')).rejects.toMatchObject({ code: 'CACHE_ERR_CLIENT_CIRCUIT_OPEN', status: 0 });
    await using late = await startTestServer({ SHARDS: '1', PORT: String(await port) });
    expect(late.port).toBe(await port);
    await expect
      .poll(() =>
        lonely.get('a').then(
          () => 'answered',
          () => 'refused',
        ),
      )
      .toBe('answered');
  });

  test('with onUnavailable "miss" a service survives its cache', async () => {
    const lonely = connect({ onUnavailable: 'miss', timeoutMs: 500 }, await freePort());
    expect(await lonely.get('a')).toBeUndefined();
    expect(await lonely.delete('a')).toBe(false);
    await lonely.set('a', '1');
    expect(await lonely.wrap('a', { ttlMs: 1000 }, () => 'loaded')).toBe('loaded');
  });
});

test('a write that was refused is tried again, behind none of the same key', async () => {
  const { router } = server;
  const writes = Promise.allSettled(
    Array.from({ length: 200 }, (_, i) => cache.set(`retry-${i % 20}`, String(i))),
  );
  await Promise.all(router.shards.map((shard) => shard.kill()));
  const again = Array.from({ length: 20 }, (_, i) => cache.set(`retry-${i}`, `last ${i}`));
  await writes;
  await Promise.all(again);
  expect(await cache.getMany(Array.from({ length: 20 }, (_, i) => `retry-${i}`))).toStrictEqual(
    Array.from({ length: 20 }, (_, i) => `last ${i}`),
  );
});

describe('wrap', () => {
  test('loads once for all that ask at the same time, and stores the result', async () => {
    let loads = 0;
    const load = (): { n: number } => ({ n: ++loads });
    const asked = Array.from({ length: 50 }, () => cache.wrap('wrapped', { ttlMs: 60_000 }, load));
    expect(new Set((await Promise.all(asked)).map(({ n }) => n))).toStrictEqual(new Set([1]));
    expect(await cache.wrap('wrapped', { ttlMs: 60_000 }, load)).toStrictEqual({ n: 1 });
  });

  test('gives a stale value out at once, and loads it anew behind', async () => {
    let loads = 0;
    const load = (): number => ++loads;
    // What is left of its lifetime is less than the time in which it is stale: so it is stale from the beginning.
    const options = { ttlMs: 1, staleMs: 60_000 };
    expect(await cache.wrap('stale', options, load)).toBe(1);
    await expect.poll(() => cache.wrap('stale', options, load)).toBe(2);
    expect(loads).toBeGreaterThan(1);
  });

  test('a value that is no JSON fails its own call, not the others of the batch', async () => {
    const one = connect({ connections: 1 });
    await one.set('no json', 'plain text');
    const wrapped = expect(one.wrap('no json', { ttlMs: 1000 }, () => 1)).rejects.toThrow(SyntaxError);
    expect(await one.get('no json')).toBe('plain text');
    await wrapped;
  });

  test('gives back what cannot be stored', async () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    for (const value of [undefined, 5n, circle, 'x'.repeat(65 * 2 ** 20)]) {
      expect(await cache.wrap('not stored', { ttlMs: 60_000 }, () => value)).toBe(value);
      expect(await cache.has('not stored')).toBe(false);
    }
    expect(await cache.wrap('not stored', { ttlMs: 60_000 }, () => null)).toBeNull();
    expect(await cache.get('not stored')).toBe('null');
    for (const value of [undefined, 5n]) {
      await expect(cache.setJson('not stored', value)).rejects.toThrow(TypeError);
    }
  });

  test('does not wait until the value is stored', async () => {
    const mute = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    onTestFinished(() => {
      mute.closeAllConnections();
      mute.close();
    });
    const { port } = mute.address() as AddressInfo;
    const lonely = connect({ onUnavailable: 'miss', timeoutMs: 1000 }, port);
    let loadedMs = NaN;
    const load = (): number => (loadedMs = performance.now());
    await lonely.wrap('a', { ttlMs: 1000 }, load);
    expect(performance.now() - loadedMs).toBeLessThan(900);
  });

  test('passes on what the load throws', async () => {
    const failed = cache.wrap('failing', { ttlMs: 1000 }, () => Promise.reject(new Error('no database')));
    await expect(failed).rejects.toThrow('no database');
    expect(new CacheError('CACHE_ERR_BUSY', 'busy', 503).isUnavailable).toBe(true);
  });
});

/** Of each of a thousand. */
const READS = IS_LONG ? 5 : 2;

test('a thousand that read values of 100 KB at once get all of them: batches get shorter', async () => {
  // All values in the answer of one shard, which has 4 MiB at most.
  await using oneShard = await startTestServer({ SHARDS: '1' });
  const one = connect({ timeoutMs: 20_000 }, oneShard.port);
  const value = 'x'.repeat(100 * 2 ** 10);
  const keys = Array.from({ length: 1000 }, (_, i) => `medium-${i}`);
  await one.setMany(keys.map((key) => ({ key, value })));
  const wrong: unknown[] = [];
  const user = async (key: string): Promise<void> => {
    for (let read = 0; read < READS; read++) {
      const got = await one.get(key).catch((error: unknown) => String(error));
      if (got !== value) wrong.push(got?.slice(0, 80));
    }
  };
  await Promise.all(keys.map(user));
  expect(wrong).toStrictEqual([]);
});

describe('values that are too large for a batch', () => {
  const large = 'x'.repeat(8 * 2 ** 20);

  test('go and come by themselves, and keep their place among the calls of their key', async () => {
    const one = connect({ connections: 1, timeoutMs: 20_000 });
    const values = await Promise.all([
      one.set('large', 'small'),
      one.set('large', large, { ttlMs: 60_000 }),
      one.get('large'),
      one.getBytes('large'),
      one.has('large'),
      one.set('large', 'small again'),
      one.get('large'),
      one.get('other'),
    ]);
    expect(values[2]).toBe(large);
    expect(values[3]!.length).toBe(large.length);
    expect(values.slice(4)).toStrictEqual([true, undefined, 'small again', undefined]);
  });

  test('are read by all who ask in one turn; text is counted in bytes', async () => {
    await cache.set('a/b c', large);
    expect(await cache.getMany(['a/b c', 'a/b c'])).toStrictEqual([large, large]);
    expect(await cache.delete('a/b c')).toBe(true);
    const text = 'ü'.repeat(600_000);
    const [, read] = await Promise.all([cache.set('text', text), cache.get('text')]);
    expect(read).toBe(text);
    expect(await cache.wrap('json', { ttlMs: 60_000 }, () => large)).toBe(large);
    expect(await cache.wrap('json', { ttlMs: 60_000 }, () => 'not asked')).toBe(large);
  });

  test('that no shard can hold are refused, and what waits behind them goes on', async () => {
    const error = { code: 'CACHE_ERR_VALUE_TOO_LARGE', status: 413 };
    const [refused, read] = await Promise.allSettled([
      cache.set('huge', new Uint8Array(65 * 2 ** 20)),
      cache.get('huge'),
    ]);
    expect(refused).toMatchObject({ status: 'rejected', reason: error });
    expect(read).toMatchObject({ status: 'fulfilled', value: undefined });
  });
});
