import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { expectError } from '../support/http-client.ts';
import { PrefixProxy } from '../support/prefix-proxy.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const PREFIX = '/team-a/cache.v1';
const HTML = 'text/html; charset=utf-8';
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '1' });
  await server.client.put('a key', 'v');
});

afterAll(() => server[Symbol.asyncDispose]());

/** What a page links to or loads, as it stands there. */
function linksOf(page: string): string[] {
  return [...page.matchAll(/(?:src|href)="([^"]+)"/g)]
    .map(([, link]) => link)
    .filter((link) => !link.startsWith('data:'));
}

/** What is written into a page between the tags of an element. */
function inlineOf(page: string, element: string): string {
  return new RegExp(`<${element}>([^]*?)</${element}>`).exec(page)![1];
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

function policyOf(headers: Readonly<Record<string, unknown>>): Map<string, string> {
  const parts = String(headers['content-security-policy']).split('; ');
  return new Map(parts.map((part) => [part.split(' ', 1)[0], part.slice(part.indexOf(' ') + 1)]));
}

describe('GET /', () => {
  test.each([
    undefined,
    '',
    '*/*',
    'application/json',
    'application/json, text/html;q=0.9',
    'text/html;q=0.5, */*',
    'text/html;q=0, */*',
    'text/plain',
    'nonsense',
    `text/html;x=${'y'.repeat(5000)}`,
  ])('for a program, Accept: %s: JSON that says where to go', async (accept) => {
    const answer = await server.client.get('/', accept === undefined ? {} : { accept });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.headers.vary).toMatch(/^accept\b/i);
    const body = JSON.parse(answer.text) as { links: Record<string, string> };
    expect(body).toMatchObject({ status: 'OK', name: 'key-value-cache', version: packageJson.version });
    expect(Object.keys(body.links)).toStrictEqual([
      'dashboard',
      'docs',
      'openapi',
      'stats',
      'metrics',
      'health',
      'ready',
    ]);
    for (const link of Object.values(body.links)) {
      expect([link, (await server.client.get(`/${link}`)).status]).toStrictEqual([link, 200]);
    }
  });

  test('for a program: names each path of the cache that the API has', async () => {
    const { paths } = JSON.parse((await server.client.get('/')).text) as { paths: readonly string[] };
    const document = JSON.parse((await server.client.get('/openapi.json')).text) as {
      paths: Readonly<Record<string, Readonly<Record<string, { readonly tags: readonly string[] }>>>>;
    };
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([method, { tags }]) => method !== 'head' && /^(cache|raw|short paths)$/.test(tags[0]))
        .map(([method]) => `${method.toUpperCase()} ${path}`),
    );
    const named = new Set(paths.map((path) => path.replace(/\?.*/, '')));
    expect([...named].toSorted()).toStrictEqual(operations.toSorted());
    for (const path of paths) expect(path).toMatch(/^[A-Z]+ \/\w+(\/\{key\}|\?key=\{key\})?$/);
  });

  test.each([
    BROWSER,
    'text/html',
    'TEXT/HTML',
    'text/*',
    'text/html, */*',
    'application/json;q=0.9, text/html',
  ])('for a browser, Accept: %s: a page', async (accept) => {
    const answer = await server.client.get('/', { accept });
    expect([answer.status, answer.headers['content-type']]).toStrictEqual([200, HTML]);
    expect(answer.headers.vary).toMatch(/^accept\b/i);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.text).toContain(`key-value-cache ${packageJson.version}`);
    const dashboard = await server.client.get('/dashboard');
    expect(answer.text).toBe(dashboard.text);
    expect(answer.headers['content-security-policy']).toBe(dashboard.headers['content-security-policy']);
    // Where to go on, whether or not the scripts run.
    for (const link of ['docs', 'openapi.json', 'stats', 'metrics', 'health', 'ready']) {
      expect(linksOf(answer.text)).toContain(link);
    }
  });

  test('HEAD has the headers of either', async () => {
    for (const accept of ['*/*', BROWSER]) {
      const got = await server.client.get('/', { accept });
      const head = await server.client.call({ method: 'HEAD', path: '/', headers: { accept } });
      expect([head.status, head.text]).toStrictEqual([200, '']);
      expect({ ...head.headers, date: '' }).toStrictEqual({ ...got.headers, date: '' });
    }
  });

  test('the page is compressed where it is wanted', async () => {
    const plain = await server.client.get('/', { accept: BROWSER });
    const zipped = await server.client.get('/', { accept: BROWSER, 'accept-encoding': 'gzip' });
    expect(zipped.headers['content-encoding']).toBe('gzip');
    expect(zipped.headers.vary).toBe('accept, accept-encoding');
    expect(gunzipSync(zipped.bytes).equals(plain.bytes)).toBe(true);
  });
});

describe('GET /dashboard', () => {
  test('is a page that loads nothing from elsewhere, and no script or style but its files', async () => {
    const page = await server.client.get('/dashboard');
    expect([page.status, page.headers['content-type']]).toStrictEqual([200, HTML]);
    expect(Object.fromEntries(policyOf(page.headers))).toStrictEqual({
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self'",
      'connect-src': "'self'",
      'img-src': 'data:',
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
    });
    expect(page.text).not.toMatch(/ style=| on\w+=|<style|<script>/);
    expect(page.text).toContain('data-wants-token="false"');
    expect(page.text).not.toContain('{{');
  });

  test('its files are there, and so is every module that they import', async () => {
    const page = await server.client.get('/dashboard');
    const seen = new Map<string, string>();
    const load = async (path: string): Promise<void> => {
      if (seen.has(path)) return;
      const { status, headers, text } = await server.client.get(path);
      seen.set(path, String(headers['content-type']));
      expect([path, status, headers.etag]).toStrictEqual([path, 200, expect.stringMatching(/^"[\w-]+"$/)]);
      const imports = path.includes('uPlot') ? [] : text.matchAll(/^(?:import|export) .*from '\.\/(.*)';$/gm);
      for (const [, name] of imports) await load(`/dashboard/${name}`);
    };
    for (const link of linksOf(page.text).filter((one) => one.startsWith('dashboard/')))
      await load(`/${link}`);
    expect(seen.size).toBeGreaterThan(8);
    for (const [path, type] of seen) {
      expect(type).toBe(`text/${path.endsWith('.css') ? 'css' : 'javascript'}; charset=utf-8`);
    }
  });

  test('with a slash at its end leads to the one without', async () => {
    const { status, headers } = await server.client.get('/dashboard/');
    expect([status, headers.location]).toStrictEqual([302, '../dashboard']);
  });
});

describe('GET /docs', () => {
  test('is a page that loads nothing from elsewhere, and no script but its own', async () => {
    const page = await server.client.get('/docs');
    expect([page.status, page.headers['content-type']]).toStrictEqual([200, HTML]);
    const policy = policyOf(page.headers);
    expect(policy.get('default-src')).toBe("'none'");
    expect(policy.get('script-src')).toBe(`'self' ${hashOf(inlineOf(page.text, 'script'))}`);
    expect(policy.get('connect-src')).toBe("'self'");
    expect(page.text).not.toMatch(/ style=| on\w+=/);
    const links = linksOf(page.text);
    expect(links).toStrictEqual(['docs/swagger-ui.css', 'docs/swagger-ui-bundle.js']);
    const types = [];
    for (const link of links) {
      const answer = await server.client.get(`/${link}`);
      expect(answer.status).toBe(200);
      expect(answer.bytes.length).toBeGreaterThan(100_000);
      types.push(answer.headers['content-type']);
    }
    expect(types).toStrictEqual(['text/css; charset=utf-8', 'text/javascript; charset=utf-8']);
  });

  test('with a slash at its end leads to the one without', async () => {
    const { status, headers } = await server.client.get('/docs/');
    expect([status, headers.location]).toStrictEqual([302, '../docs']);
  });

  test('a path below it that is not there', async () => {
    for (const path of ['/docs/nothing', '/docs/static', '/docs/../package.json', '/docs/swagger-ui.css/']) {
      expectError(await server.client.get(path), 404, 'CACHE_ERR_ROUTE_NOT_FOUND');
    }
  });
});

describe('files of /docs', () => {
  const path = '/docs/swagger-ui.css';
  const GZIP = { 'accept-encoding': 'gzip' };

  test('are the same, compressed or not', async () => {
    const plain = await server.client.get(path);
    const zipped = await server.client.get(path, GZIP);
    expect(zipped.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(zipped.bytes).equals(plain.bytes)).toBe(true);
    expect(zipped.bytes.length).toBeLessThan(plain.bytes.length / 4);
    for (const { headers, bytes } of [plain, zipped]) {
      expect(headers['content-length']).toBe(String(bytes.length));
      expect(headers.vary).toBe('accept-encoding');
    }
    for (const headers of [{}, GZIP]) {
      const head = await server.client.call({ method: 'HEAD', path, headers });
      const got = headers === GZIP ? zipped : plain;
      expect([head.status, head.text]).toStrictEqual([200, '']);
      expect({ ...head.headers, date: '' }).toStrictEqual({ ...got.headers, date: '' });
    }
  });

  test('are kept by browsers, and sent once', async () => {
    const plain = (await server.client.get(path)).headers;
    const zipped = (await server.client.get(path, GZIP)).headers;
    expect(plain['cache-control']).toBe('no-cache');
    expect(plain.etag).toMatch(/^"[\w-]+"$/);
    expect(zipped.etag).not.toBe(plain.etag);
    for (const known of [plain.etag!, `W/${plain.etag}`, `"other", ${plain.etag}`, '*']) {
      const again = await server.client.get(path, { 'if-none-match': known });
      expect([known, again.status, again.text]).toStrictEqual([known, 304, '']);
      expect([again.headers.etag, again.headers['cache-control']]).toStrictEqual([plain.etag, 'no-cache']);
    }
    for (const known of [zipped.etag!, '"other"', '', plain.etag!.slice(1, -1)]) {
      expect((await server.client.get(path, { 'if-none-match': known })).status).toBe(200);
    }
    expect((await server.client.get(path, { ...GZIP, 'if-none-match': zipped.etag! })).status).toBe(304);
  });

  test('are not compressed where compression is off', async () => {
    await using plain = await startTestServer({ SHARDS: '1', GZIP_THRESHOLD_BYTES: '0' });
    const { headers } = await plain.client.get(path, GZIP);
    expect([headers['content-encoding'], headers.vary]).toStrictEqual([undefined, undefined]);
  });
});

interface Spec {
  readonly servers: readonly { readonly url: string }[];
  readonly paths: object;
}

/** Runs the script of /docs as a browser does that reads the page at a URL. @returns what it shows. */
function runDocs(page: string, url: string): Promise<{ spec: Spec }> {
  const location = new URL(url);
  return new Promise((resolve, reject) => {
    const element = {
      set textContent(text: string) {
        reject(new Error(text));
      },
    };
    runInNewContext(inlineOf(page, 'script'), {
      location,
      URL,
      fetch: (link: string) => fetch(new URL(link, location)),
      SwaggerUIBundle: resolve,
      document: { getElementById: () => element },
    });
  });
}

describe('behind a proxy with a path prefix', () => {
  test.each([
    ['/', BROWSER],
    ['/dashboard', BROWSER],
    ['/dashboard/', BROWSER],
    ['/docs', BROWSER],
    ['/docs/', BROWSER],
  ])('every link of %s leads to this server', async (path, accept) => {
    const proxy = await PrefixProxy.listening(server.port, PREFIX);
    const page = await fetch(proxy.origin + PREFIX + path, { headers: { accept } });
    expect([page.status, page.headers.get('content-type')]).toStrictEqual([200, HTML]);
    const links = linksOf(await page.text());
    expect(links.length).toBeGreaterThan(1);
    for (const link of links) {
      const url = new URL(link, page.url);
      expect(url.origin + url.pathname).toMatch(`${proxy.origin}${PREFIX}/`);
      expect([link, (await fetch(url)).status]).toStrictEqual([link, 200]);
    }
  });

  test('so do those for programs', async () => {
    const proxy = await PrefixProxy.listening(server.port, PREFIX);
    const root = await fetch(`${proxy.origin}${PREFIX}/`);
    const { links } = (await root.json()) as { links: Record<string, string> };
    for (const link of Object.values(links)) expect((await fetch(new URL(link, root.url))).status).toBe(200);
  });

  test.each(['', PREFIX, '/a'])('/docs asks by the path at which it is read: %s/docs', async (prefix) => {
    const proxy = await PrefixProxy.listening(server.port, prefix);
    for (const path of ['/docs', '/docs/', '/docs?x=1', '/docs#/cache/getEntry']) {
      const page = await fetch(proxy.origin + prefix + path);
      // A browser does not send what is behind the #, and keeps it.
      const { spec } = await runDocs(await page.text(), page.url);
      expect(spec.servers).toEqual([{ url: proxy.origin + prefix }]);
      expect(Object.keys(spec.paths)).toContain('/cache/{key}');
      const answer = await fetch(`${spec.servers[0].url}/cache/a%20key`);
      expect(await answer.json()).toStrictEqual({ status: 'OK', key: 'a key', value: 'v' });
    }
  });

  test('the page says so where the document cannot be had', async () => {
    const page = (await server.client.get('/docs')).text;
    const proxy = await PrefixProxy.listening(server.port, PREFIX);
    await expect(runDocs(page, `${proxy.origin}/elsewhere/docs`)).rejects.toThrow(
      'openapi.json could not be read: HTTP 404',
    );
  });

  test('nobody is believed what is before the path, unless a proxy is trusted', async () => {
    const proxy = await PrefixProxy.listening(server.port, PREFIX, { 'x-forwarded-prefix': PREFIX });
    const { servers } = (await (await fetch(`${proxy.origin}${PREFIX}/openapi.json`)).json()) as Spec;
    expect(servers).toStrictEqual([{ url: '/' }]);
  });
});
