import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { Ledger } from '../../src/shared/ledger.ts';
import {
  CREATED,
  DELETED,
  NOT_MODIFIED,
  type Payload,
  PRECONDITION_FAILED,
  RAW_FOUND,
  RAW_HIT,
  RAW_HIT_GZIP,
  UNAVAILABLE,
} from '../../src/shared/protocol.ts';
import { type EntryHead, decodeHead } from '../../src/shared/raw-entries.ts';
import type { Mailbox } from '../../src/shards/mailbox.ts';
import type { PendingRequest } from '../../src/shards/pending-requests.ts';
import { ShardRouter } from '../../src/shards/router.ts';
import type { Shard } from '../../src/shards/shard.ts';
import { PLAIN_OPTIONS, allBytes } from '../support/raw.ts';
import { ShardThread, createMailbox } from '../support/shard-thread.ts';

interface Settled {
  readonly code: number;
  readonly body: Buffer;
  readonly head: EntryHead | undefined;
}

/** @returns what a request is settled with. */
function settled(send: (pending: PendingRequest) => void): Promise<Settled> {
  return new Promise((resolve) => {
    send({
      connection: undefined,
      settle: (code, payload: Payload, delivered, head) => {
        const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : Buffer.from(payload);
        delivered?.();
        resolve({ code, body, head: head === undefined ? undefined : decodeHead(head) });
      },
    });
  });
}

/** A router to one shard, of which it uses these only. */
function routerTo(mailbox: Mailbox | undefined, ledger: Ledger): ShardRouter {
  const shard = {
    number: 0,
    mailbox,
    checkHeartbeat: () => undefined,
    stop: () => Promise.resolve(),
  } as unknown as Shard;
  const router = new ShardRouter([shard], ledger, [1, 2], 60_000);
  onTestFinished(() => router.stop());
  return router;
}

function createRouter(): ShardRouter {
  const thread = new ShardThread();
  return routerTo(createMailbox(thread.first), thread.ledger);
}

test.each([0, 100, 5000, 16_384, 100_000, 2 ** 20])(
  'a raw entry of %i bytes by the router',
  async (length) => {
    const router = createRouter();
    const value = Buffer.from(allBytes(length), 'latin1');
    const options = { ...PLAIN_OPTIONS, ttlMs: 60_000, headers: ['one', 'two'] as const };
    const put = await settled((pending) => router.putRaw('key', value, options, pending));
    expect(put.code).toBe(CREATED);
    const got = await settled((pending) => router.getRaw('key', true, {}, pending));
    expect([got.code, got.body.equals(value)]).toEqual([RAW_HIT, true]);
    const { tag } = got.head!;
    expect(got.head).toMatchObject({
      valueBytes: length,
      contentType: options.contentType,
      headers: options.headers,
    });
    expect(put.head?.tag).toBe(tag);
    const codes = await Promise.all([
      settled((pending) => router.headRaw('key', {}, pending)),
      settled((pending) => router.getRaw('key', false, { ifNoneMatch: [tag] }, pending)),
      settled((pending) => router.deleteRaw('key', { ifMatch: ['another 16 bytes'] }, pending)),
      settled((pending) => router.deleteRaw('key', { ifMatch: [tag] }, pending)),
    ]);
    expect(codes.map(({ code }) => code)).toEqual([RAW_FOUND, NOT_MODIFIED, PRECONDITION_FAILED, DELETED]);
  },
);

test.each([2000, 50_000, 300_000])('text of %i bytes comes in gzip, with its head', async (length) => {
  const router = createRouter();
  const value = Buffer.from('caf\u00e9 '.repeat(length / 5), 'latin1');
  const options = { ...PLAIN_OPTIONS, contentType: 'text/html' };
  await settled((pending) => router.putRaw('key', value, options, pending));
  for (let i = 0; i < 2; i++) {
    const { code, body, head } = await settled((pending) => router.getRaw('key', true, {}, pending));
    expect([code, gunzipSync(body).equals(value)]).toEqual([RAW_HIT_GZIP, true]);
    expect(head).toMatchObject({ valueBytes: value.length, contentType: 'text/html' });
  }
});

test('without its shard a raw request is settled at once', async () => {
  const ledger = Ledger.create(1, { ceiling: 2 ** 26, guarantee: 2 ** 23, unit: 4096 });
  const router = routerTo(undefined, ledger);
  expect((await settled((pending) => router.getRaw('key', true, {}, pending))).code).toBe(UNAVAILABLE);
  expect(await router.beginUpload('key', 0)).toBe(UNAVAILABLE);
});
