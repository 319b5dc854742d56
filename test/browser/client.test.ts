import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { HAS_BROWSER, TestBrowser } from '../support/browser.ts';
import { runProgram } from '../support/run.ts';
import { startTestServer } from '../support/server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TOKEN = 'sesame';

const browser = new TestBrowser();
/** The folder of the compiled files. */
let compiled: string;

/** Without a bundler, the browser itself has to be told what the condition `default` of `imports` is. */
const IMPORT_MAP = {
  imports: {
    '#http-transport': packageJson.imports['#http-transport'].default.replace(/^\.(.+)\.ts$/, '$1.js'),
  },
};

const PAGE = `<!doctype html><link rel="icon" href="data:,"><title>a page</title>
<script type="importmap">${JSON.stringify(IMPORT_MAP)}</script>`;

/** Serves a page, and the compiled files as they are. */
async function servePage(): Promise<string> {
  const server: Server = createServer(({ url }, response) => {
    if (url === '/') response.setHeader('content-type', 'text/html').end(PAGE);
    else response.setHeader('content-type', 'text/javascript').end(readFileSync(join(compiled, url!)));
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What the page does: text, so that nothing of this process's language is assumed. */
const SCRIPT = `async ({ url, token }) => {
  const { CacheClient } = await import('/src/client/cache-client.js');
  const { KeyvStore } = await import('/src/keyv/keyv-store.js');
  const cache = new CacheClient(url, { token, timeoutMs: 20000 });
  await Promise.all(Array.from({ length: 300 }, (_, i) => cache.set('k' + i, 'grün ' + i, { ttlMs: 60000 })));
  const values = await cache.getMany(['k0', 'k299', 'k300']);
  await cache.set('bytes', Uint8Array.of(0, 255));
  const bytes = Array.from(await cache.getBytes('bytes'));
  const wrapped = await cache.wrap('w', { ttlMs: 1000 }, () => ({ a: 1 }));
  const store = new KeyvStore(cache);
  store.namespace = 'page';
  await store.set('🌱', '{}');
  const keys = [];
  for await (const [key] of store.iterator()) keys.push(key);
  const refused = await new CacheClient(url, { timeoutMs: 20000 }).get('k0').catch(({ code, status }) => [code, status]);
  const { totals } = await cache.stats();
  return { values, bytes, wrapped, keys, refused, entries: totals.entries, removed: await cache.clear() };
}`;

describe.skipIf(!HAS_BROWSER)('the client in a browser', { timeout: 90_000 }, () => {
  beforeAll(async () => {
    compiled = mkdtempSync(join(tmpdir(), 'key-value-cache-'));
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    await runProgram(tsc, ['-p', 'tsconfig.build.json', '--outDir', compiled], { cwd: ROOT });
  });

  afterAll(() => rmSync(compiled, { recursive: true, force: true }));

  test('works from a page of another origin, where CORS_ORIGIN names it', async () => {
    const origin = await servePage();
    await using server = await startTestServer({ SHARDS: '2', CORS_ORIGIN: origin, AUTH_TOKEN: TOKEN });
    const { page, faults } = await browser.open(`${origin}/`);
    const { address } = server;
    const result = await page.evaluate(`(${SCRIPT})(${JSON.stringify({ url: address, token: TOKEN })})`);
    expect(result).toStrictEqual({
      values: ['grün 0', 'grün 299', undefined],
      bytes: [0, 255],
      wrapped: { a: 1 },
      keys: ['🌱'],
      refused: ['CACHE_ERR_UNAUTHORIZED', 401],
      entries: 303,
      removed: 303,
    });
    // The requests to the cache are to another origin, and one of them was to be refused.
    const others = faults.filter((fault) => !fault.startsWith(`${address}/`) && !fault.includes('401'));
    expect(others).toStrictEqual([]);
    const asked = new Set(faults.map((fault) => fault.replace(/\?.*$/, '')));
    expect(asked).toContain(`${address}/batch`);
  });

  test('is refused by the browser where CORS_ORIGIN does not name the page: no answer', async () => {
    const origin = await servePage();
    await using server = await startTestServer({ SHARDS: '1', CORS_ORIGIN: 'https://other.example' });
    const { page } = await browser.open(`${origin}/`);
    const script = `import('/src/client/cache-client.js').then(({ CacheClient }) =>
      new CacheClient(${JSON.stringify(server.address)}, { timeoutMs: 500 }).get('a').catch(({ code }) => code))`;
    expect(await page.evaluate(script)).toBe('CACHE_ERR_CLIENT_CONNECTION');
  });
});
