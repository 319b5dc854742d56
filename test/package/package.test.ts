import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { ChildServer } from '../support/child-server.ts';
import { installInto, otherNodes, packInto } from '../support/packed.ts';
import { readPage } from '../readme/page.ts';
import { runProgram } from '../support/run.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

/** What a service does, with both entries of the package. */
const SERVICE = `
import assert from 'node:assert/strict';
import { CacheClient, CacheError } from 'key-value-cache/client';
import { KeyvStore } from 'key-value-cache/keyv';
const [url, name] = process.argv.slice(2);
const cache = new CacheClient(url);
await Promise.all(Array.from({ length: 500 }, (_, i) => cache.set(name + i, 'grün ' + i, { ttlMs: 60_000 })));
assert.deepEqual(await cache.getMany([name + 0, name + 499, name + 500]), ['grün 0', 'grün 499', undefined]);
assert.equal(await cache.wrap(name + 'w', { ttlMs: 1000 }, () => 42), 42);
const store = new KeyvStore(cache);
store.namespace = name;
await store.set('ключ', '{"value":1}', 60_000);
const entries = [];
for await (const entry of store.iterator()) entries.push(entry);
assert.deepEqual(entries, [['ключ', '{"value":1}']]);
await store.clear();
assert.equal(await store.has('ключ'), false);
await assert.rejects(cache.get('ä'), (error) => error instanceof CacheError && error.status === 400);
await cache.close();
console.log(import.meta.resolve('key-value-cache/client'));
process.exit();
`;

const TYPED_SERVICE = `
import { CacheClient, CacheError, type CacheClientOptions } from 'key-value-cache/client';
import { KeyvStore } from 'key-value-cache/keyv';
import { Keyv, type KeyvStoreAdapter } from 'keyv';
import { Keyv as Keyv6 } from 'keyv6';
const options: CacheClientOptions = { token: 't', onUnavailable: 'miss' };
const cache = new CacheClient('http://127.0.0.1', options);
export const value: string | undefined = await cache.get('a', { signal: AbortSignal.timeout(1) });
export const loaded: number = await cache.wrap('a', { ttlMs: 5 }, () => 5);
export const code = (error: CacheError): 'CACHE_ERR_BUSY' | undefined =>
  error.code === 'CACHE_ERR_BUSY' ? error.code : undefined;
// @ts-expect-error: it may be undefined
export const wrong: string = await cache.get('a');
// @ts-expect-error: a misspelt option
export const other = new CacheClient('http://127.0.0.1', { timeout: 5 });
const store: KeyvStoreAdapter = new KeyvStore(cache);
export const keyvs = [new Keyv({ store }), new Keyv(new KeyvStore('http://127.0.0.1')), new Keyv6({ store: new KeyvStore(cache) })];
`;

let folder: string;
let packed: string;
let service: string;
let server: ChildServer | undefined;
let port: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'key-value-cache-'));
  packed = mkdtempSync(join(folder, 'packed-'));
  service = mkdtempSync(join(folder, 'service-'));
  await installInto(service, await packInto(packed));
  writeFileSync(join(service, 'service.mjs'), SERVICE);
  server = new ChildServer({
    program: [join(service, 'node_modules/.bin/key-value-cache')],
    env: { SHARDS: '2', FRONTS: '2' },
    isShared: true,
  });
  port = await server.port();
}, 120_000);

afterAll(async () => {
  await server?.end();
  rmSync(folder, { recursive: true, force: true });
});

async function runService(node: string, name: string, ...flags: string[]): Promise<string> {
  const args = [...flags, 'service.mjs', `http://127.0.0.1:${port}`, name];
  return runProgram(node, args, { cwd: service });
}

describe('the tarball', () => {
  test('has compiled files, their types, the page, and nothing that only development needs', async () => {
    const { stdout } = await run('tar', ['-tzf', (await run('ls', [packed])).stdout.trim()], { cwd: packed });
    const files = stdout
      .trim()
      .split('\n')
      .map((file) => file.replace(/^package\//, ''));
    const unwanted = files.filter(
      (file) =>
        !/^(dist\/(src|workers)\/[\w/-]+\.c?js|dist\/src\/(client|keyv|api)\/[\w-]+\.d\.ts)$/.test(file) &&
        !/^dist\/src\/dashboard\/page\/page\.(css|html)$/.test(file),
    );
    expect(unwanted.toSorted()).toStrictEqual([
      'LICENSE',
      'README.md',
      'dist/package.json',
      'package.json',
      'src/package/key-value-cache.cjs',
    ]);
    expect(files.filter((file) => file.startsWith('dist/workers/')).length).toBeGreaterThan(30);
  });

  test('has no main entry: the server is a process of its own', async () => {
    await expect(
      runProgram(process.execPath, ['-e', "import('key-value-cache')"], { cwd: service }),
    ).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
});

describe('the command', () => {
  test('starts the server, with its pages and its version', async () => {
    const base = `http://127.0.0.1:${port}`;
    for (const path of ['dashboard', 'dashboard/page.js', 'dashboard/uPlot.min.css', 'docs/swagger-ui.css']) {
      const answer = await fetch(`${base}/${path}`);
      expect([path, answer.status]).toStrictEqual([path, 200]);
      expect((await answer.text()).length).toBeGreaterThan(500);
    }
    const stats = await (await fetch(`${base}/stats`)).json();
    expect(stats).toMatchObject({ version: packageJson.version, shards: [{ state: 'up' }, { state: 'up' }] });
  });

  test('knows its flags', async () => {
    const command = join(service, 'node_modules/.bin/key-value-cache');
    expect(await runProgram(command, ['--version'], { cwd: service })).toBe(`${packageJson.version}\n`);
  });

  test.each(otherNodes())('on %s says in one line which Node it needs', async (_name, node) => {
    const command = join(service, 'node_modules/.bin/key-value-cache');
    const failed = run(node, [command], { cwd: service });
    await expect(failed).rejects.toMatchObject({
      code: 78,
      stdout: '',
      stderr: expect.stringMatching(/^key-value-cache needs Node 26 or newer; this is v2\d\.[\d.]+\n$/),
    });
  });
});

describe('the client and the store for Keyv', () => {
  beforeAll(() => {
    for (const name of ['keyv', 'keyv6', 'hookified', '@keyv', '@cacheable', 'cache-manager']) {
      symlinkSync(join(ROOT, 'node_modules', name), join(service, 'node_modules', name));
    }
  });

  test.each([['this Node', process.execPath], ...otherNodes()])('work on %s', async (name, node) => {
    expect(await runService(node, name)).toContain('/node_modules/key-value-cache/dist/src/client/');
  });

  test.each(['README.md', 'docs/client.md'])('do what %s shows', async (page) => {
    const blocks = readPage(page).matchAll(/^```ts\n([^]*?)^```$/gm);
    const code = [...blocks].map(([, block]) => block).join('\n');
    expect(code).toContain('key-value-cache/client');
    const program = code.replaceAll('http://localhost:7171', `http://127.0.0.1:${port}`);
    writeFileSync(join(service, 'page.ts'), `${program}\nprocess.exit();\n`);
    // Blocks of one page belong together, and import what they need where they need it.
    await runProgram(process.execPath, ['page.ts'], { cwd: service });
    // cache-manager's types name modules of Node.
    await checkTypes(program, 'nodenext', 'nodenext', ['node']);
  });

  test.each([
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ])('have types: module %s, resolution %s', (module, resolution) =>
    checkTypes(TYPED_SERVICE, module, resolution),
  );

  test('use fetch where that is what the runtime wants', async () => {
    // A condition of Deno and Bun: then undici is never loaded, and need not be there.
    rmSync(join(service, 'node_modules/undici'), { recursive: true });
    await expect(runService(process.execPath, 'fails')).rejects.toThrow("Cannot find package 'undici'");
    await runService(process.execPath, 'fetch', '--conditions=deno');
  });
});

/** Compiles a program as a service of its own would. */
async function checkTypes(
  program: string,
  module: string,
  moduleResolution: string,
  types: readonly string[] = [],
): Promise<void> {
  const project = mkdtempSync(join(service, 'typed-'));
  writeFileSync(join(project, 'index.mts'), program);
  const compilerOptions = {
    module,
    moduleResolution,
    target: 'es2022',
    lib: ['es2024', 'dom'],
    types,
    typeRoots: [join(ROOT, 'node_modules/@types')],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
  };
  const config = JSON.stringify({ compilerOptions, files: ['index.mts'] });
  writeFileSync(join(project, 'tsconfig.json'), config);
  await runProgram(`${ROOT}node_modules/.bin/tsc`, ['-p', project], { cwd: project }).catch(
    (error: { stdout?: string }) => expect.fail(error.stdout),
  );
}
