import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { ChildServer } from '../support/child-server.ts';
import { HttpClient } from '../support/http-client.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

/** The arguments of every instruction of that name, in order. */
async function instructions(name: string): Promise<string[]> {
  const text = (await readFile(join(ROOT, 'Dockerfile'), 'utf8')).replaceAll(/\\\n\s*/g, '');
  return [...text.matchAll(new RegExp(`^${name} (.*)$`, 'gm'))].map(([, rest]) => rest);
}

test('what the image installs and copies is enough to serve', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'key-value-cache-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const copied = (await instructions('COPY'))
    .filter((rest) => !rest.startsWith('--from'))
    .flatMap((rest) => rest.split(' ').slice(0, -1));
  expect(copied).toEqual(expect.arrayContaining(['package.json', 'package-lock.json', 'src', 'workers']));
  for (const path of new Set(copied)) await cp(join(ROOT, path), join(folder, path), { recursive: true });

  const [install, makeCache, compile, ...others] = await instructions('RUN');
  expect(others).toStrictEqual([]);
  expect(install).toMatch(/^npm ci .*--omit=dev/);
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production' };
  await run('sh', ['-c', `${install} --prefer-offline`], { cwd: folder, env });
  await expect(readFile(join(folder, 'node_modules/vitest/package.json'))).rejects.toThrow('ENOENT');

  const cache = /^install -d -o node (\S+)$/.exec(makeCache)![1];
  await run('sh', ['-c', compile], { cwd: folder, env: { PATH: process.env['PATH'] } });
  const [version] = await readdir(join(folder, cache));
  const compiled = await readdir(join(folder, cache, version));
  expect(compiled).toContain('complete');

  expect(await instructions('CMD')).toStrictEqual(['["node", "src/main.ts"]']);
  const { port } = await ChildServer.listening({ root: folder, env: { NODE_ENV: 'production' } });
  const client = new HttpClient(port);
  onTestFinished(() => client.close());
  expect((await client.put('key', 'value')).status).toBe(201);
  expect((await client.get('/cache/key')).text).toBe('{"status":"OK","key":"key","value":"value"}');
  for (const path of ['/health', '/ready', '/stats', '/openapi.json', '/docs']) {
    expect([path, (await client.get(path)).status]).toStrictEqual([path, 200]);
  }
}, 180_000);

test('the image does not run as root, and answers for its health', async () => {
  expect((await instructions('USER')).at(-1)).toBe('node');
  const [check] = await instructions('HEALTHCHECK');
  expect(check).toContain('/health');
});

test('the image has the very Node that everything was tested with', async () => {
  const bases = await instructions('FROM');
  expect(bases).toHaveLength(2);
  for (const base of bases)
    expect(base.split(' ')[0]).toBe(`node:${packageJson.devDependencies.node}-alpine`);
  expect(process.version).toBe(`v${packageJson.devDependencies.node}`);
});
