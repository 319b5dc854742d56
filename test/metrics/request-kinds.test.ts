import { expect, test } from 'vitest';
import { RequestKinds } from '../../src/metrics/request-kinds.ts';

function kinds(): RequestKinds {
  const all = new RequestKinds();
  for (const [method, pattern] of [
    ['GET', '/'],
    ['GET', '/cache'],
    ['GET', '/cache/:key'],
    ['PUT', '/cache'],
    ['GET', '/docs'],
    ['GET', '/docs/'],
    ['GET', '/docs/swagger-ui.css'],
    ['GET', '/docs/swagger-ui-bundle.js'],
  ]) {
    all.add(method, pattern);
  }
  return all;
}

const CASES = [
  ['GET', '/', 'GET /'],
  ['GET', '/?x=1', 'GET /'],
  ['GET', '/cache/user:42', 'GET /cache/{key}'],
  ['GET', '/cache/a/b?c=d', 'GET /cache/{key}'],
  ['GET', '/cache/', 'GET /cache/{key}'],
  ['GET', '/cache?key=a/b', 'GET /cache'],
  ['PUT', '/cache', 'PUT /cache'],
  ['GET', '/docs', 'GET /docs'],
  ['GET', '/docs/swagger-ui.css', 'GET /docs/*'],
  ['GET', '/docs/none', 'GET /docs/*'],
  ['GET', 'http://host:7171/cache/a', 'GET /cache/{key}'],
  ['GET', 'http://host', 'GET /'],
  ['PUT', '/cache/a', 'other unmatched'],
  ['POST', '/cache', 'other unmatched'],
  ['GET', '/cachet', 'other unmatched'],
  ['GET', '//cache', 'other unmatched'],
  ['GET', '/__proto__', 'other unmatched'],
  ['OPTIONS', '*', 'other unmatched'],
  ['GET', '', 'GET /'],
] as const;

function nameOf(some: RequestKinds, method: string, url: string): string {
  const { method: known, route } = some.all[some.of(method, url)];
  return `${known} ${route}`;
}

test.each(CASES)('%s %s is %s, whatever the request before it was', (method, url, expected) => {
  expect(nameOf(kinds(), method, url)).toBe(expected);
  for (const [methodBefore, urlBefore] of CASES) {
    const some = kinds();
    some.of(methodBefore, urlBefore);
    expect(nameOf(some, method, url), `after ${methodBefore} ${urlBefore}`).toBe(expected);
  }
});

test('whatever is asked for, there are no more kinds than routes and one', () => {
  const some = kinds();
  for (let i = 0; i < 1000; i++) some.of('GET', `/path-${i}/${i}`);
  expect(some.all.map(({ method, route }) => `${method} ${route}`)).toStrictEqual([
    'other unmatched',
    'GET /',
    'GET /cache',
    'GET /cache/{key}',
    'PUT /cache',
    'GET /docs',
    'GET /docs/*',
  ]);
});
