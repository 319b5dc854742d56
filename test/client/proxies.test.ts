import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CacheClient, type CacheClientOptions, CacheError } from '../../src/client/cache-client.ts';

/** A server that is no cache, or a proxy that does not reach one. */
async function foreign(status: number): Promise<{ url: string; requests: () => number }> {
  let requests = 0;
  const server = createServer((request, response) => {
    requests++;
    request.resume();
    response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Not from a cache</h1>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests };
}

function connect(url: string, options?: CacheClientOptions): CacheClient {
  const cache = new CacheClient(url, options);
  onTestFinished(() => cache.close());
  return cache;
}

describe.each([502, 503, 504])('a proxy that answers %i', (status) => {
  test('is asked again for a read, not for a write: the cache may have carried it out', async () => {
    const { url, requests } = await foreign(status);
    const error = { code: 'CACHE_ERR_CLIENT_REPLY_INVALID', status, isUnavailable: true };
    await expect(connect(url).set('a', '1')).rejects.toMatchObject(error);
    expect(requests()).toBe(1);
    await expect(connect(url).get('a')).rejects.toMatchObject(error);
    expect(requests()).toBe(7);
  });

  test('is a cache that is gone: calls are misses, and then it is not asked for a while', async () => {
    const { url, requests } = await foreign(status);
    const cache = connect(url, { onUnavailable: 'miss' });
    expect(await cache.get('a')).toBeUndefined();
    const asked = requests();
    expect(await cache.getMany(['a', 'b'])).toStrictEqual([undefined, undefined]);
    await cache.set('a', '1');
    expect(requests()).toBe(asked);
  });
});

test.each([404, 200, 500])(
  'an answer of %i from what is no cache is an error, and no miss',
  async (status) => {
    const { url } = await foreign(status);
    const cache = connect(url);
    const error = { name: 'CacheError', code: 'CACHE_ERR_CLIENT_REPLY_INVALID' };
    if (status !== 200) {
      await expect(cache.get('a')).rejects.toMatchObject(error);
      await expect(connect(url, { onUnavailable: 'miss' }).get('a')).rejects.toMatchObject(error);
    }
    await expect(cache.set('a', '1')).rejects.toMatchObject(error);
    await expect(cache.stats()).rejects.toMatchObject({ ...error, status });
    await expect(cache.clear()).rejects.toMatchObject({ ...error, status });
    await expect(cache.keys().next()).rejects.toMatchObject({ ...error, status });
  },
);

test('a page of keys is asked for again, within the time of one call', async () => {
  const { url, requests } = await foreign(503);
  const error = { code: 'CACHE_ERR_CLIENT_REPLY_INVALID', status: 503 };
  await expect(connect(url).keys().next()).rejects.toMatchObject(error);
  expect(requests()).toBe(6);
  const beganMs = performance.now();
  await expect(connect(url, { timeoutMs: 200 }).keys().next()).rejects.toBeInstanceOf(CacheError);
  expect(performance.now() - beganMs).toBeLessThan(600);
  expect(requests()).toBeLessThan(11);
});
