import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ChildServer, type Exit } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';
import { HttpClient } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';
import { Random, printedSeed } from '../support/random.ts';

const CLEAN: Exit = { code: 0, signal: null };
const MIB = 2 ** 20;
const BATCH = 200;
const KILLS = IS_LONG ? 50 : 2;
/** So many that a snapshot takes long enough to be interrupted. */
const KILL_ENTRIES = IS_LONG ? 10_000 : 4000;

interface Stats {
  readonly totals: Readonly<Record<string, number>>;
  readonly snapshot: Readonly<Record<string, number>>;
  readonly memory: Readonly<Record<string, number>>;
}

async function start(path: string, env: Readonly<Record<string, string>> = {}) {
  const { child, port } = await ChildServer.listening({ env: { SHARDS: '1', SNAPSHOT_FILE: path, ...env } });
  const client = new HttpClient(port);
  onTestFinished(() => client.close());
  const stats = async (): Promise<Stats> => JSON.parse((await client.get('/stats')).text) as Stats;
  return { child, port, client, stats };
}

type Started = Awaited<ReturnType<typeof start>>;

/** @returns once the file has been read. */
async function startLoaded(path: string, env: Readonly<Record<string, string>> = {}): Promise<Started> {
  const started = await start(path, env);
  await expect.poll(() => started.child.output, { timeout: 60_000 }).toContain('"snapshot read: ');
  return started;
}

async function stop({ child }: Started): Promise<void> {
  child.signal('SIGTERM');
  expect(await child.exited).toStrictEqual(CLEAN);
  expect(child.errors).toBe('');
}

async function putAll({ client }: Started, count: number, valueOf: (i: number) => string): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const requests = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => ({
      method: 'PUT',
      key: `key-${from + i}`,
      value: valueOf(from + i),
    }));
    const { text } = await client.send('POST', '/batch', { requests });
    const { responses } = JSON.parse(text) as { responses: { status: number }[] };
    // Refused ones are put again.
    if (responses.some(({ status }) => status === 503)) from -= BATCH;
  }
}

/** @returns how many of the keys have the value that they must have. */
async function countFound(
  { client }: Started,
  count: number,
  isRight: (i: number, value: string) => boolean,
): Promise<number> {
  let found = 0;
  for (let from = 0; from < count; from += BATCH) {
    const requests = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => ({
      method: 'GET',
      key: `key-${from + i}`,
    }));
    const { text } = await client.send('POST', '/batch', { requests });
    const { responses } = JSON.parse(text) as { responses: { status: number; value?: string }[] };
    for (const [i, { status, value }] of responses.entries()) {
      if (status !== 200) continue;
      if (!isRight(from + i, value!)) expect.fail(`key-${from + i} has a wrong value`);
      found++;
    }
  }
  return found;
}

/** The values that are put in one round. */
const valuesOf = (round: number) => (i: number) => `${round}-${i}-`.padEnd(1000, 'v');

/** @returns once a new file is there, or the process has ended. */
async function untilWriting({ child }: Started, path: string): Promise<void> {
  let hasEnded = false;
  void child.exited.then(() => (hasEnded = true));
  while (!existsSync(`${path}.unfinished`) && !hasEnded) await delay(1);
}

function tagsOf({ client }: Started, keys: readonly string[]): Promise<unknown[]> {
  return Promise.all(keys.map(async (key) => (await client.get(`/kv/${key}`)).headers.etag));
}

describe('SNAPSHOT_FILE', () => {
  test('keeps the content over a restart, with another number of shards', async () => {
    const path = join(makeFolder(), 'snapshot');
    const first = await start(path);
    await putAll(first, 1000, (i) => `value-${i}`);
    await first.client.put('long', 'v', 1000);
    const large = Buffer.alloc(5 * MIB, 'large');
    const headers = { 'content-type': 'image/png', 'content-encoding': 'br', 'x-artifact-tag': 'tag' };
    const put = await first.client.call({ method: 'PUT', path: '/kv/large', headers, body: large });
    expect(put.status).toBe(201);
    await first.client.put('middle', 'm'.repeat(2000));
    const tags = await tagsOf(first, ['key-1', 'long', 'middle', 'large']);
    expect(new Set(tags).size).toBe(4);
    await first.client.put('short', 'v', 1);
    await stop(first);
    expect(first.child.output).toContain('"snapshot written: 1004 entries, ');
    expect(statSync(path).mode & 0o777).toBe(0o600);

    await delay(1000);
    const second = await startLoaded(path, { SHARDS: '3' });
    expect(second.child.output).toMatch(/"snapshot read: 1003 entries in [\d.]+ s; 1 have expired"/);
    expect(await countFound(second, 1000, (i, value) => value === `value-${i}`)).toBe(1000);
    const got = await second.client.get('/kv/large');
    expect(got.bytes.equals(large)).toBe(true);
    expect(got.headers).toMatchObject({ 'content-type': 'image/png', 'content-encoding': 'br' });
    expect(got.headers.etag).toBe(put.headers.etag);
    expect(await tagsOf(second, ['key-1', 'long', 'middle', 'large'])).toStrictEqual(tags);
    expect(Number((await second.client.get('/kv/long')).headers['x-ttl'])).toBeLessThan(1000);
    const { totals, snapshot } = await second.stats();
    expect(totals).toMatchObject({ entries: 1003, loaded: 1003, puts: 0 });
    expect(snapshot).toMatchObject({
      snapshotExpiredEntries: 1,
      snapshotDamagedSections: 0,
      snapshots: 0,
    });
    const metrics = (await second.client.get('/metrics')).text;
    expect(metrics).toContain('\nkvc_snapshot_expired_entries_total 1\n');
    await stop(second);
  });

  test('is written every SNAPSHOT_INTERVAL, so that a crash loses little', async () => {
    const path = join(makeFolder(), 'snapshot');
    const first = await start(path, { SNAPSHOT_INTERVAL: '1' });
    await putAll(first, 2000, (i) => `value-${i}`);
    await expect.poll(() => first.child.output, { timeout: 30_000 }).toContain('"snapshot written: 2000 ');
    const { snapshot } = await first.stats();
    expect(snapshot).toMatchObject({ snapshotEntries: 2000, snapshotFailures: 0 });
    expect(snapshot['snapshotTimeSeconds']).toBeGreaterThan(Date.now() / 1000 - 60);
    await first.child.end();
    const second = await startLoaded(path);
    expect(await countFound(second, 2000, (i, value) => value === `value-${i}`)).toBe(2000);
    await stop(second);
  });

  test('is written although a request does not end', async () => {
    const path = join(makeFolder(), 'snapshot');
    const server = await start(path);
    await putAll(server, 100, () => 'v');
    const socket = connect(server.port, '127.0.0.1').on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    socket.write('PUT /kv/never HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nbegin');
    await expect.poll(async () => (await server.client.get('/metrics')).text).toMatch(/in_progress 2\n/);
    server.child.signal('SIGTERM');
    expect(await server.child.exited).toStrictEqual(CLEAN);
    expect(server.child.output).toContain('"snapshot written: 100 entries, ');
  });

  test(
    'is as it was, or new, when the process is killed while it writes',
    { timeout: 1_800_000 },
    async () => {
      const random = new Random(printedSeed('kill -9'));
      const path = join(makeFolder(), 'snapshot');
      const count = KILL_ENTRIES;
      const before = await start(path);
      await putAll(before, count, valuesOf(0));
      await stop(before);
      const tookMs = Number(/"tookMs":(\d+),"msg":"snapshot written/.exec(before.child.output)?.[1] ?? 100);
      let current = 0;
      let kept = 0;
      for (let round = 1; round <= KILLS + 1; round++) {
        const server = await startLoaded(path);
        const first = (await server.client.get('/kv/key-0')).text;
        if (first.startsWith(`${round - 1}-`)) current = round - 1;
        else kept++;
        const isRight = (i: number, value: string): boolean => value === valuesOf(current)(i);
        expect(await countFound(server, count, isRight)).toBe(count);
        if (round <= KILLS) {
          await putAll(server, count, valuesOf(round));
          server.child.signal('SIGTERM');
          await untilWriting(server, path);
          // A little longer than it takes, so that some are complete.
          await delay(random.whole(0, Math.ceil(tookMs * 1.3)));
        }
        await server.child.end();
      }
      console.log(`the snapshot takes ${tookMs} ms; the old one was kept ${kept} times`);
    },
  );

  test('of another program is kept aside; damage is told in one line, and what is whole is read', async () => {
    const path = join(makeFolder(), 'snapshot');
    writeFileSync(path, '#!/bin/sh\n');
    const first = await start(path);
    await expect.poll(() => first.child.output).toContain(' is no snapshot of this version, ');
    expect(readFileSync(`${path}.foreign`, 'utf8')).toBe('#!/bin/sh\n');
    await putAll(first, 3000, (i) => `${i}-`.padEnd(1000, 'v'));
    await stop(first);
    const bytes = readFileSync(path);
    bytes[5000] ^= 1;
    writeFileSync(path, bytes);
    writeFileSync(`${path}.unfinished`, 'left by a crash');
    const second = await startLoaded(path);
    expect(second.child.output).toMatch(
      /"level":40,.*"snapshot read: .*; 1 section with \d+ entries damaged"/,
    );
    expect(existsSync(`${path}.unfinished`)).toBe(false);
    const { totals, snapshot } = await second.stats();
    expect(snapshot['snapshotDamagedSections']).toBe(1);
    expect(totals['entries']).toBeGreaterThan(1500);
    expect(totals['entries']).toBeLessThan(3000);
    await stop(second);
  });

  test('with less memory than before gives the hottest entries that fit below the threshold', async () => {
    const path = join(makeFolder(), 'snapshot');
    const count = IS_LONG ? 3000 : 1500;
    const first = await start(path, { MEMORY_LIMIT: '1gb' });
    for (let i = 0; i < count; i++) await first.client.put(`key-${i}`, `${i}-`.padEnd(65_536, 'v'));
    await stop(first);
    const second = await startLoaded(path, { MEMORY_LIMIT: '200mb' });
    const { totals, snapshot, memory } = await second.stats();
    expect(snapshot['snapshotKeptOutEntries']).toBeGreaterThan(300);
    expect(totals['entries']).toBeGreaterThan(300);
    expect(totals['evicted']).toBe(0);
    expect(memory['usedBytes']).toBeLessThan(memory['thresholdBytes']);
    expect((await second.client.get(`/cache/key-${count - 1}`)).status).toBe(200);
    expect((await second.client.get('/cache/key-0')).status).toBe(404);
    await stop(second);
  });

  test.each([
    [
      { SNAPSHOT_FILE: '/nowhere/at/all' },
      /^SNAPSHOT_FILE: "\/nowhere\/at\/all" is not allowed; its folder /,
    ],
    [{ SNAPSHOT_FILE: '/tmp' }, /^SNAPSHOT_FILE: "\/tmp" is not allowed; it is not a regular file\n$/],
    [{ SNAPSHOT_INTERVAL: '5' }, /^SNAPSHOT_INTERVAL: is not allowed without SNAPSHOT_FILE; /],
  ])('stops the start where it is wrong: %o', async (env, message) => {
    const child = new ChildServer({ env });
    expect((await child.exited).code).toBe(78);
    expect(child.errors).toMatch(message);
  });
});
