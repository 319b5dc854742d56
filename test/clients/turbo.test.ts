import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFolder } from '../support/folder.ts';
import { runProgram } from '../support/run.ts';
import { startTestServer } from '../support/server.ts';

const TOKEN = 'sesame';
const { resolve } = createRequire(import.meta.url);
const TURBO = join(dirname(resolve('turbo/package.json')), 'bin/turbo');

/** A repository with one package, whose build writes a file. */
function makeRepository(folder: string): void {
  const files = {
    'package.json': {
      name: 'repository',
      private: true,
      packageManager: 'npm@11.0.0',
      workspaces: ['packages/*'],
    },
    'package-lock.json': { name: 'repository', lockfileVersion: 3, packages: {} },
    'turbo.json': { tasks: { build: { outputs: ['dist/**'] } }, remoteCache: { signature: true } },
    'packages/a/package.json': {
      name: 'a',
      version: '1.0.0',
      scripts: { build: 'mkdir -p dist && echo built > dist/out.txt' },
    },
  };
  mkdirSync(join(folder, 'packages/a'), { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), JSON.stringify(content));
  }
}

test('turbo: the second build comes from the cache, with its signature', async () => {
  await using server = await startTestServer({ SHARDS: '1', AUTH_TOKEN: TOKEN });
  const folder = makeFolder();
  makeRepository(folder);
  const env = {
    TURBO_API: `http://127.0.0.1:${server.port}`,
    TURBO_TOKEN: TOKEN,
    TURBO_TEAM: 'team',
    TURBO_REMOTE_CACHE_SIGNATURE_KEY: 'k'.repeat(32),
    TURBO_TELEMETRY_DISABLED: '1',
    CI: '1',
  };
  const build = (): Promise<string> =>
    runProgram(process.execPath, [TURBO, 'run', 'build'], { cwd: folder, env });
  const first = await build();
  expect(first).toMatch(/Remote caching enabled/i);
  expect(first).toMatch(/cache miss/);
  // What the first one has left: its own cache, its log, and what it has built.
  for (const path of ['.turbo', 'packages/a/.turbo', 'packages/a/dist', 'node_modules']) {
    rmSync(join(folder, path), { recursive: true, force: true });
  }
  const second = await build();
  expect(second).toMatch(/cache hit/);
  expect(second).toMatch(/FULL TURBO/);
  const [{ stats }] = await server.router.stats();
  expect(stats!.hits).toBeGreaterThan(0);
});
