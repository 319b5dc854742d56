import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { HttpClient } from '../support/http-client.ts';

const MIB = 2 ** 20;

async function residentBytes(env: Readonly<Record<string, string>>): Promise<number> {
  const { child, port } = await ChildServer.listening({
    env: { SHARDS: '2', MEMORY_LIMIT: '256mb', ...env },
  });
  const client = new HttpClient(port);
  const { memory } = await client.stats();
  client.close();
  child.signal('SIGTERM');
  await child.exited;
  expect(child.errors).toBe('');
  return memory.residentBytes;
}

test.skipIf(process.execve === undefined)(
  'the first process, which has to compile all, takes no more memory than the second one',
  { timeout: 60_000 },
  async () => {
    const cache = await mkdtemp(join(tmpdir(), 'key-value-cache-'));
    onTestFinished(() => rm(cache, { recursive: true, force: true }));
    const first = await residentBytes({ NODE_COMPILE_CACHE: cache });
    const written = await readdir(cache, { recursive: true });
    const modules = written.filter((name) => /^[^/]+\/[^/]+$/.test(name) && !name.endsWith('/complete'));
    // Of the process that sets up memory as well, whose flags are others.
    expect(new Set(modules.map((name) => name.split('/')[0])).size).toBe(2);
    const stamp = join(
      cache,
      written.find((name) => name.endsWith('/complete'))!,
    );
    const stamped = await readFile(stamp, 'utf8');
    const second = await residentBytes({ NODE_COMPILE_CACHE: cache });

    expect(Math.abs(first - second)).toBeLessThan(8 * MIB);
    expect(await readFile(stamp, 'utf8')).toBe(stamped);
  },
);

test('starts where nothing can be kept', { timeout: 60_000 }, async () => {
  const first = await residentBytes({ NODE_COMPILE_CACHE: '/dev/null/cache' });
  expect(first).toBeGreaterThan(0);
  expect(await residentBytes({ NODE_DISABLE_COMPILE_CACHE: '1' })).toBeGreaterThan(0);
});
