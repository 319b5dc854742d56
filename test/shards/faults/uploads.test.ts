import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  BUSY,
  CREATED,
  LARGE_HIT,
  OVERDUE,
  type Payload,
  REPLACED,
  TOO_LARGE,
  UNAVAILABLE,
} from '../../../src/shared/protocol.ts';
import type { LargeRead } from '../../../src/shards/large-read.ts';
import type { Upload } from '../../../src/shards/upload.ts';
import { FakeShard } from '../../support/fake-shard.ts';
import { createValue, readAll } from '../../support/large.ts';
import { PLAIN_OPTIONS } from '../../support/raw.ts';
import { MIB } from '../../support/segments.ts';
import { type TestServer, startTestServer } from '../../support/server.ts';
import { keysByShard } from '../../support/shard-traffic.ts';
import { copyOf } from '../../support/shard-thread.ts';

let server: TestServer;
let keys: string[][];

beforeEach(async () => {
  server = await startTestServer({ SHARDS: '2', MEMORY_LIMIT: '1gb' });
  keys = await keysByShard(server.client, 2, 1);
});

afterEach(() => server[Symbol.asyncDispose]());

async function begin(key: string, bytes: number): Promise<Upload> {
  const upload = await server.router.beginUpload(key, bytes);
  if (typeof upload === 'number') throw new Error(`refused with ${upload}`);
  return upload;
}

function get(
  key: string,
): Promise<{ readonly code: number; readonly payload: Payload; readonly read?: LargeRead }> {
  return new Promise((resolve) => {
    server.router.getRaw(
      key,
      false,
      {},
      {
        connection: undefined,
        settle: (code, payload, _delivered, _head, read) =>
          resolve({ code, payload: copyOf(payload), ...(read && { read }) }),
      },
    );
  });
}

test('a shard that dies in the middle of an upload and of a read fails those only', async () => {
  const value = createValue(1, 12 * MIB);
  const [[lostKey], [keptKey]] = keys;
  const before = await begin(lostKey, value.length);
  await before.write(value);
  expect((await before.commit(PLAIN_OPTIONS)).code).toBe(REPLACED);
  const { read } = await get(lostKey);
  const pending = read!.next();
  const lost = await begin(lostKey, value.length);
  const kept = await begin(keptKey, value.length);
  expect(await lost.write(value.subarray(0, 5 * MIB))).toBe(true);
  expect(await kept.write(value.subarray(0, 5 * MIB))).toBe(true);
  await server.router.shards[0].kill();
  expect(await lost.write(value.subarray(5 * MIB))).toBe(false);
  expect((await lost.commit(PLAIN_OPTIONS)).code).toBe(UNAVAILABLE);
  const piece = await pending;
  if (typeof piece === 'object') piece.delivered();
  expect(await read!.next()).toBe(UNAVAILABLE);
  expect(await kept.write(value.subarray(5 * MIB))).toBe(true);
  expect((await kept.commit(PLAIN_OPTIONS)).code).toBe(REPLACED);
  const { code, read: whole } = await get(keptKey);
  expect(code).toBe(LARGE_HIT);
  expect(value.equals((await readAll(whole!)) as Buffer)).toBe(true);

  await expect.poll(() => server.router.isReady).toBe(true);
  const again = await begin(lostKey, value.length);
  await again.write(value);
  expect((await again.commit(PLAIN_OPTIONS)).code).toBe(CREATED);
});

test('a value that no shard could ever hold is refused at once', async () => {
  const { maxValueBytes } = server.router;
  expect(maxValueBytes).toBeGreaterThan(64 * MIB);
  expect(await server.router.beginUpload('a', maxValueBytes + 1)).toBe(TOO_LARGE);
  expect(server.router.takesWhole(1, MIB)).toBe(true);
  expect(server.router.takesWhole(1, MIB + 1)).toBe(false);
});

test('an upload or a read of which a piece is not answered in time is given up, and the shard is told', async () => {
  const fake = new FakeShard({ queueLimit: 10, deadlineMs: 1000 });
  const { mailbox } = fake;
  const begun = mailbox.largeValues.beginUpload('a', 0);
  const read = mailbox.largeValues.openRead(7, 10_000);
  const next = read.next();
  for (let i = 0; i < 3; i++) {
    fake.nowMs += 500;
    mailbox.sweepDeadlines();
  }
  expect([await begun, await next, await read.next()]).toEqual([OVERDUE, OVERDUE, OVERDUE]);
  await expect
    .poll(() => fake.controls.map(({ kind }) => kind))
    .toEqual(['upload', 'more', 'abort', 'cancel']);
  read.cancel();
  fake.close();
  expect(await mailbox.largeValues.beginUpload('a', 0)).toBe(UNAVAILABLE);
});

test('a refusal by the shard ends an upload, whatever it was about to be sent', async () => {
  const fake = new FakeShard({ queueLimit: 10, deadlineMs: 1000 });
  const begun = fake.mailbox.largeValues.beginUpload('a', 5 * MIB);
  fake.reply({ kind: 'upload', upload: 1, code: 0x2b, head: '' });
  const upload = (await begun) as Upload;
  const written = upload.write(createValue(1, 5 * MIB));
  fake.reply({ kind: 'upload', upload: 1, code: BUSY, head: '' });
  expect(await written).toBe(false);
  expect(await upload.commit(PLAIN_OPTIONS)).toEqual({ code: BUSY, head: '' });
  upload.abort();
  await expect.poll(() => fake.controls.map(({ kind }) => kind)).toEqual(['upload', 'piece']);
  fake.close();
});
