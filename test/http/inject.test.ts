import type { InjectOptions } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '1' });
});

afterAll(() => server[Symbol.asyncDispose]());

const LARGE = 'x'.repeat(100_000);
const CHUNKED = { 'transfer-encoding': 'chunked' };

/** In an order in which each finds what the ones before have left. */
const REQUESTS: readonly (readonly [InjectOptions, number, RegExp])[] = [
  [{ method: 'PUT', url: '/cache', payload: { key: 'a', value: '1' } }, 201, /OK/],
  [{ method: 'POST', url: '/put', payload: { key: 'b', value: LARGE } }, 200, /OK/],
  [{ method: 'GET', url: '/cache/a' }, 200, /"value":"1"/],
  [{ method: 'HEAD', url: '/cache/a' }, 200, /^$/],
  [{ method: 'GET', url: '/cache?key=a' }, 200, /"value":"1"/],
  [{ method: 'HEAD', url: '/cache?key=a' }, 200, /^$/],
  [{ method: 'GET', url: '/get?key=b' }, 200, /x{100000}/],
  [{ method: 'HEAD', url: '/get?key=b' }, 200, /^$/],
  [{ method: 'DELETE', url: '/cache/a', headers: CHUNKED, payload: 'body' }, 400, /CACHE_ERR_BODY_INVALID/],
  [{ method: 'DELETE', url: '/cache/a', headers: CHUNKED }, 204, /^$/],
  [{ method: 'DELETE', url: '/cache' }, 200, /"removed":1/],
];

function pathOf(url: string): string {
  return url.split('?', 1)[0].replace(/(?<=^\/cache\/).+/, ':key');
}

/** @param tree of paths, as Fastify prints it: `├── cache (PUT, GET)`, indented by four characters a level. */
function routesIn(tree: string): string[] {
  const path: string[] = [];
  return tree
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [, indent, part, methods = ''] = /^([│ ]*)[├└]── (\S+)(?: \((.*)\))?/.exec(line)!;
      path.splice(indent.length / 4, Infinity, part);
      return methods
        .split(', ')
        .filter(Boolean)
        .map((method) => `${method} ${path.join('')}`);
    });
}

test.each(REQUESTS)('app.inject(%j)', async (request, status, body) => {
  const answer = await server.app.inject(request);
  expect(answer.body).toMatch(body);
  expect(answer.statusCode).toBe(status);
});

test('every other route is answered without a fault of the server', async () => {
  const routes = routesIn(server.app.printRoutes({ commonPrefix: false }));
  const injected = new Set(REQUESTS.map(([{ method, url }]) => `${method} ${pathOf(url as string)}`));
  for (const route of injected) expect(routes).toContain(route);
  const others = routes.filter((route) => !injected.has(route));
  expect(others).toContain('GET /openapi.json');
  const faults: string[] = [];
  for (const route of others) {
    const [method, url] = route.split(' ') as ['GET', string];
    const withBody = method !== 'GET' && method !== 'HEAD' && { payload: {} };
    // As a stream: the feed of the dashboard does not end.
    const answer = await server.app.inject({ method, url, ...withBody, payloadAsStream: true });
    if (answer.statusCode >= 500) faults.push(`${route}: ${answer.statusCode}`);
    answer.stream().destroy();
  }
  expect(faults).toStrictEqual([]);
});

test('nothing is charged for them', () => {
  expect(Object.values(server.app.purse.totals)).toStrictEqual([0, 0, 0, 0, 0]);
});
