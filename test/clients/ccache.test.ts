import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeFolder } from '../support/folder.ts';
import { isInstalled, runProgram } from '../support/run.ts';
import { startTestServer } from '../support/server.ts';

const TOKEN = 'sesame';

/** Compiles with a local cache that is empty. @returns counters of ccache: only those that are not zero. */
async function build(folder: string, name: string, storage: string): Promise<Record<string, number>> {
  const cwd = join(folder, name);
  mkdirSync(cwd);
  const env = {
    CCACHE_DIR: join(cwd, 'cache'),
    CCACHE_REMOTE_STORAGE: storage,
    CCACHE_REMOTE_ONLY: 'true',
    CCACHE_BASEDIR: folder,
  };
  writeFileSync(join(cwd, 'a.c'), 'int answer(void) { return 42; }\n');
  await runProgram('ccache', ['gcc', '-c', 'a.c', '-o', 'a.o'], { cwd, env });
  expect(readFileSync(join(cwd, 'a.o')).length).toBeGreaterThan(100);
  const printed = await runProgram('ccache', ['--print-stats'], { cwd, env });
  const counters = [...printed.matchAll(/^(\w+)\t(\d+)$/gm)].map(
    ([, counter, value]) => [counter, Number(value)] as const,
  );
  return Object.fromEntries(counters.filter(([, value]) => value > 0));
}

describe.runIf(isInstalled('ccache') && isInstalled('gcc'))('ccache', () => {
  test.each([
    ['flat', ''],
    ['subdirs', ''],
    ['bazel', ''],
    ['flat', `|bearer-token=${TOKEN}`],
    ['flat', 'user'],
  ])('layout %s, access "%s": the second build comes from the cache', async (layout, access) => {
    const hasToken = access !== '';
    await using server = await startTestServer({ SHARDS: '1', ...(hasToken && { AUTH_TOKEN: TOKEN }) });
    const user = access === 'user' ? `ci:${TOKEN}@` : '';
    const attributes = `|layout=${layout}${access.startsWith('|') ? access : ''}`;
    const storage = `http://${user}127.0.0.1:${server.port}/kv/cc${attributes}`;
    const folder = makeFolder();
    expect(await build(folder, 'first', storage)).toMatchObject({ cache_miss: 1, remote_storage_write: 2 });
    const second = await build(folder, 'second', storage);
    expect(second).toMatchObject({ direct_cache_hit: 1, remote_storage_hit: 1 });
    expect(second['cache_miss']).toBeUndefined();
    const [{ stats }] = await server.router.stats();
    expect(stats!.entries).toBe(2);
  });

  test('a build goes on while the cache refuses everything', async () => {
    await using server = await startTestServer({ SHARDS: '1', AUTH_TOKEN: TOKEN });
    const storage = `http://127.0.0.1:${server.port}/kv/cc|layout=flat`;
    expect(await build(makeFolder(), 'first', storage)).toMatchObject({ cache_miss: 1 });
  });
});
