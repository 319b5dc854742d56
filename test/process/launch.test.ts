import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { heapFlags } from '../../src/config/memory-shares.ts';
import { sortFlags } from '../../src/process/launch.ts';
import { ChildServer } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';
import { HttpClient } from '../support/http-client.ts';

test('this Node knows every flag that the server is started with', () => {
  const flags = [...heapFlags(2 ** 28), '--disable-sigusr1'];
  expect(sortFlags(flags)).toStrictEqual({ known: flags, unknown: [] });
});

test('a flag that is unknown is told from those that are known', () => {
  expect(sortFlags(['--expose-gc', '--made-up', '--no-made-up-either', '--disable-sigusr1'])).toStrictEqual({
    known: ['--expose-gc', '--disable-sigusr1'],
    unknown: ['--made-up', '--no-made-up-either'],
  });
});

test('a Node that lacks a flag serves without it, and one line says so', async () => {
  const path = join(makeFolder(), 'older-node');
  const refusal = `for flag; do [ "$flag" = --no-parallel-scavenge ] && exit 9; done`;
  writeFileSync(path, `#!/bin/sh\n${refusal}\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 });
  const code = encodeURIComponent(`process.execPath = ${JSON.stringify(path)}`);
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${code}` };
  const { child, port } = await ChildServer.listening({ env });
  const client = new HttpClient(port);
  expect((await client.put('key', 'value')).status).toBe(201);
  client.close();
  expect(child.errors).toBe(
    `Node ${process.version} does not know --no-parallel-scavenge: the server does without\n`,
  );
});

test('a process that is profiled stays the one that was started, and writes a profile of each thread', async () => {
  const folder = makeFolder();
  const profiled = `exec "$1" --cpu-prof --cpu-prof-dir='${folder}' "$2"`;
  const launcher = ['sh', '-c', profiled, 'sh'];
  const { child } = await ChildServer.listening({ launcher, env: { SHARDS: '1' } });
  if (process.platform === 'linux') {
    expect(readFileSync(`/proc/${child.pid}/environ`, 'utf8')).not.toContain('KEY_VALUE_CACHE_LAUNCHED');
  }
  child.signal('SIGTERM');
  expect(await child.exited).toStrictEqual({ code: 0, signal: null });
  expect(readdirSync(folder)).toHaveLength(2);
});
