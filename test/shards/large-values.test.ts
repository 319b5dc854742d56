import { describe, expect, test } from 'vitest';
import {
  BUSY,
  CREATED,
  DELETED,
  HIT,
  LARGE_HIT,
  MISS,
  NOT_MODIFIED,
  NOT_TEXT,
  PRECONDITION_FAILED,
  RAW_FOUND,
  REPLACED,
  TOO_LARGE,
  encodeGet,
  encodePut,
} from '../../src/shared/protocol.ts';
import { BLOCK_BYTES } from '../../src/shared/segment-sizes.ts';
import type { Mailbox } from '../../src/shards/mailbox.ts';
import {
  askRaw as ask,
  beginUpload as begin,
  createValue,
  readAll,
  readLarge as get,
  uploadWhole as put,
} from '../support/large.ts';
import { Random, printedSeed } from '../support/random.ts';
import { PLAIN_OPTIONS, rawDelete, rawGet, rawHead, rawPut } from '../support/raw.ts';
import { MIB } from '../support/segments.ts';
import { ShardThread, createMailbox } from '../support/shard-thread.ts';

function open(ceilingMib = 256): { shard: ShardThread; mailbox: Mailbox } {
  const shard = new ShardThread({}, ceilingMib * MIB);
  return { shard, mailbox: createMailbox(shard.first) };
}

describe('a large value', () => {
  test.each([MIB + 1, BLOCK_BYTES * 3, 20 * MIB + 77])(
    'of %i bytes comes back as it was put',
    async (bytes) => {
      const { shard, mailbox } = open();
      const value = createValue(bytes, bytes);
      const texts = { contentType: 'a/b', contentEncoding: 'zstd', headers: ['1', '2'] } as const;
      expect(await put(mailbox, 'a', value, { ...texts, ttlMs: 60_000 })).toBe(CREATED);
      const { code, head, read } = await ask(mailbox, rawGet('a'));
      expect([code, head?.valueBytes]).toEqual([LARGE_HIT, bytes]);
      expect(head).toMatchObject(texts);
      expect(head!.ttlMs).toBeGreaterThan(50_000);
      expect(value.equals((await readAll(read!)) as Buffer)).toBe(true);
      expect((await ask(mailbox, rawHead('a'))).head).toMatchObject({ tag: head!.tag, valueBytes: bytes });
      expect((await ask(mailbox, rawGet('a', { ifNoneMatch: [head!.tag] }))).code).toBe(NOT_MODIFIED);
      expect((await ask(mailbox, encodeGet('a', false))).code).toBe(NOT_TEXT);
      expect(await put(mailbox, 'a', value, texts)).toBe(REPLACED);
      expect((await ask(mailbox, rawHead('a'))).head).toMatchObject({ tag: head!.tag, ttlMs: 0 });
      expect((await ask(mailbox, rawDelete('a'))).code).toBe(DELETED);
      expect((await ask(mailbox, rawGet('a'))).code).toBe(MISS);
      await expect.poll(() => shard.replyCells[0]).toBe(0);
    },
  );

  test('of an unknown length comes as well, and is refused when it turns out too long', async () => {
    const { mailbox } = open(32);
    const value = createValue(1, 5 * MIB + 3);
    const upload = await begin(mailbox, 'a', 0);
    expect(await upload.write(value)).toBe(true);
    expect((await upload.commit(PLAIN_OPTIONS)).code).toBe(CREATED);
    expect(value.equals((await get(mailbox, 'a')) as Buffer)).toBe(true);
    const endless = await begin(mailbox, 'b', 0);
    let written = 0;
    while (await endless.write(value)) written += value.length;
    expect(written).toBeLessThan(32 * MIB);
    expect([endless.code, (await endless.commit(PLAIN_OPTIONS)).code]).toEqual([TOO_LARGE, TOO_LARGE]);
    expect(await mailbox.largeValues.beginUpload('c', 31 * MIB)).toBe(TOO_LARGE);
  });

  test('is seen when it is committed, and not before; the last commit wins', async () => {
    const { mailbox } = open();
    const [one, two] = [createValue(1, 3 * MIB), createValue(2, 2 * MIB)];
    await ask(mailbox, rawPut('a', 'old'));
    const first = await begin(mailbox, 'a', one.length);
    const second = await begin(mailbox, 'a', two.length);
    await first.write(one);
    await second.write(two);
    expect((await ask(mailbox, rawGet('a'))).payload).toBe('old');
    expect((await second.commit(PLAIN_OPTIONS)).code).toBe(REPLACED);
    expect(two.equals((await get(mailbox, 'a')) as Buffer)).toBe(true);
    const creating = { ...PLAIN_OPTIONS, conditions: { ifNoneMatch: '*' } } as const;
    expect((await first.commit(creating)).code).toBe(PRECONDITION_FAILED);
    expect(two.equals((await get(mailbox, 'a')) as Buffer)).toBe(true);
    expect((await ask(mailbox, encodePut('a', 'short', 0))).code).not.toBe(BUSY);
    expect((await ask(mailbox, encodeGet('a', false))).code).toBe(HIT);
  });

  test('that is given up leaves what was there, and its memory goes back', async () => {
    const { shard, mailbox } = open();
    await ask(mailbox, rawPut('a', 'old'));
    const emptyBytes = shard.ledger.held(0);
    const upload = await begin(mailbox, 'a', 10 * MIB);
    await upload.write(createValue(1, 8 * MIB));
    await expect.poll(() => shard.ledger.held(0)).toBeGreaterThanOrEqual(emptyBytes + 7 * MIB);
    upload.abort();
    expect((await upload.commit(PLAIN_OPTIONS)).code).not.toBe(CREATED);
    await expect.poll(() => shard.ledger.held(0)).toBe(emptyBytes);
    expect((await ask(mailbox, rawGet('a'))).payload).toBe('old');
  });
});

describe('what it displaces', () => {
  test('is the least recently used, no more than is needed, and requests are answered meanwhile', async () => {
    const { shard, mailbox } = open(64);
    const batch = Array.from({ length: 500 }, (_, i) => i);
    for (let from = 0; from < 70_000; from += 500) {
      await Promise.all(batch.map((i) => ask(mailbox, encodePut(`key-${from + i}`, 'v'.repeat(1000), 0))));
    }
    await ask(mailbox, encodeGet('key-69999', false));
    let isDone = false;
    const uploaded = put(mailbox, 'large', createValue(1, 24 * MIB)).finally(() => {
      isDone = true;
    });
    let slowestMs = 0;
    while (!isDone) {
      const startedMs = performance.now();
      expect((await ask(mailbox, encodeGet('key-69999', false))).code).toBe(HIT);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      expect(shard.ledger.totalHeld()).toBeLessThanOrEqual(shard.ledger.ceiling);
    }
    expect(await uploaded).toBe(CREATED);
    console.log(`the slowest GET beside an upload that displaces took ${slowestMs.toFixed(1)} ms`);
    const { stats } = (await mailbox.control.request({ kind: 'stats' })) as {
      stats: { entries: number; liveBytes: number };
    };
    expect(stats.liveBytes).toBeGreaterThan(0.8 * 64 * MIB);
    expect((await ask(mailbox, encodeGet('key-60000', false))).code).toBe(HIT);
  });

  test('may be other large values; a read of one that is displaced comes whole', async () => {
    const { shard, mailbox } = open(64);
    const values = [0, 1, 2, 3].map((i) => createValue(i, 18 * MIB));
    for (const i of [0, 1, 2]) expect(await put(mailbox, `key-${i}`, values[i])).toBe(CREATED);
    const { read } = await ask(mailbox, rawGet('key-0'));
    const first = await read!.next();
    expect(await put(mailbox, 'key-3', values[3])).toBe(CREATED);
    if (typeof first !== 'object') throw new Error('cut off');
    const start = Buffer.from(first.bytes);
    first.delivered();
    const rest = (await readAll(read!)) as Buffer;
    expect(Buffer.concat([start, rest]).equals(values[0])).toBe(true);
    expect((await ask(mailbox, rawHead('key-1'))).code).toBe(MISS);
    expect((await ask(mailbox, rawHead('key-3'))).code).toBe(RAW_FOUND);
    expect(shard.ledger.totalHeld()).toBeLessThanOrEqual(shard.ledger.ceiling);
  });
});

describe('a read', () => {
  test('of a value that is replaced meanwhile has all of the old one', async () => {
    const { mailbox } = open();
    const [one, two] = [createValue(1, 6 * MIB), createValue(2, 6 * MIB)];
    await put(mailbox, 'a', one);
    const { read } = await ask(mailbox, rawGet('a'));
    await put(mailbox, 'a', two);
    const { read: second } = await ask(mailbox, rawGet('a'));
    await ask(mailbox, rawDelete('a'));
    expect(one.equals((await readAll(read!)) as Buffer)).toBe(true);
    expect(two.equals((await readAll(second!)) as Buffer)).toBe(true);
  });

  test('that is cancelled gives everything back', async () => {
    const { shard, mailbox } = open();
    await ask(mailbox, rawPut('small', 'v'));
    const emptyBytes = shard.ledger.held(0);
    await put(mailbox, 'a', createValue(1, 6 * MIB));
    const reads = await Promise.all(Array.from({ length: 5 }, () => ask(mailbox, rawGet('a'))));
    const pending = reads[1].read!.next();
    for (const { read } of reads) read!.cancel();
    expect(typeof (await pending)).toBe('number');
    await ask(mailbox, rawDelete('a'));
    await expect.poll(() => shard.ledger.held(0)).toBe(emptyBytes);
    await expect.poll(() => shard.replyCells[0]).toBe(0);
  });

  test('that does not take its pieces holds one of them, and the window', async () => {
    const { shard, mailbox } = open();
    await put(mailbox, 'a', createValue(1, 6 * MIB));
    const readers = await Promise.all(Array.from({ length: 20 }, () => ask(mailbox, rawGet('a'))));
    const pieces = readers.map(({ read }) => read!.next());
    await pieces[0];
    await ask(mailbox, rawHead('a'));
    expect(shard.replyCells[0]).toBeLessThanOrEqual(MIB + 2 ** 18);
    await expect.poll(() => mailbox.awaitsReplyRoom).toBe(true);
    for (const piece of pieces) {
      const got = await piece;
      if (typeof got === 'object') got.delivered();
    }
    expect(mailbox.awaitsReplyRoom).toBe(false);
    for (const { read } of readers) read!.cancel();
    await expect.poll(() => shard.replyCells[0]).toBe(0);
  });
});

describe('when a session ends', () => {
  test('its uploads and reads are gone, those of another go on', async () => {
    const { shard, mailbox } = open();
    const other = createMailbox(shard.connect(shard.first));
    const value = createValue(1, 6 * MIB);
    await put(mailbox, 'a', value);
    await ask(other, rawHead('a'));
    const heldBytes = shard.ledger.held(0);
    const lost = await begin(other, 'b', 6 * MIB);
    await lost.write(value.subarray(0, 5 * MIB));
    const lostRead = (await ask(other, rawGet('a'))).read!;
    const pending = lostRead.next();
    const kept = await begin(mailbox, 'b', 6 * MIB);
    await kept.write(value);
    other.close();
    expect(typeof (await pending)).not.toBe('undefined');
    expect(await lost.write(value.subarray(5 * MIB))).toBe(false);
    expect((await kept.commit(PLAIN_OPTIONS)).code).toBe(CREATED);
    await ask(mailbox, rawDelete('b'));
    await expect.poll(() => shard.ledger.held(0)).toBe(heldBytes);
    await ask(mailbox, rawDelete('a'));
    await expect.poll(() => shard.ledger.held(0)).toBeLessThan(heldBytes - 5 * MIB);
  });
});

test('random uploads, reads and small requests are those of a plain map, and the ceiling holds', async () => {
  const random = new Random(printedSeed('large values'));
  const { shard, mailbox } = open(128);
  const map = new Map<string, Buffer>();
  for (let round = 0; round < 15; round++) {
    const keys = ['a', 'b', 'c', 'd'].filter(() => random.chance(0.7));
    await Promise.all(
      keys.map(async (key) => {
        const old = map.get(key);
        const kind = random.whole(0, 4);
        if (kind <= 1) {
          const value = createValue(random.whole(1, 1e6), random.whole(MIB, 6 * MIB));
          expect(await put(mailbox, key, value)).toBe(old ? REPLACED : CREATED);
          map.set(key, value);
        } else if (kind === 2) {
          expect((await ask(mailbox, rawDelete(key))).code).toBe(old ? DELETED : MISS);
          map.delete(key);
        } else {
          const got = await get(mailbox, key);
          expect(old === undefined ? got === MISS : old.equals(got as Buffer)).toBe(true);
        }
      }),
    );
    expect(shard.ledger.totalHeld()).toBeLessThanOrEqual(shard.ledger.ceiling);
  }
  for (const [key, value] of map) expect(value.equals((await get(mailbox, key)) as Buffer)).toBe(true);
});
