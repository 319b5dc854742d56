import { describe, expect, test } from 'vitest';
import {
  BUSY,
  CREATED,
  DELETED,
  HIT,
  LATE,
  MISS,
  NOT_MODIFIED,
  NOT_TEXT,
  PRECONDITION_FAILED,
  RAW_FOUND,
  RAW_HIT,
  RAW_HIT_GZIP,
  REPLACED,
  STORED,
  TOO_LARGE,
  WAITING,
  encodeGet,
  encodePut,
} from '../../src/shared/protocol.ts';
import { encodePutOptions } from '../../src/shared/raw-entries.ts';
import { Random, printedSeed } from '../support/random.ts';
import { PLAIN_OPTIONS, allBytes, rawDelete, rawGet, rawGetGzip, rawHead, rawPut } from '../support/raw.ts';
import { MIB } from '../support/segments.ts';
import { createActor, gunzip, valueIn } from '../support/test-actor.ts';

const TEXTS = { contentType: 'image/png', contentEncoding: 'br', headers: ['31', 'a tag'] } as const;
const OTHER_TAG = 'xxxxxxxxxxxxxxxx';

describe('a raw entry', () => {
  test.each([0, 1, 256, 5000, 20_000, 200_000, MIB - 5000])(
    'of %i bytes comes back as it was put',
    (length) => {
      const { ask, handle, store } = createActor();
      const value = allBytes(length);
      if (length < 20_000) expect(ask(rawPut('a', value, { ...TEXTS, ttlMs: 5000 }))[0].code).toBe(CREATED);
      else {
        const rawOptions = encodePutOptions({ ...PLAIN_OPTIONS, ...TEXTS, ttlMs: 5000 });
        const buffer = new Uint8Array(Buffer.from(value, 'latin1')).buffer;
        handle({ kind: 'put', key: 'a', value: buffer, ttlMs: 0, rawOptions });
        expect(ask()[0].code).toBe(CREATED);
        expect(buffer.detached).toBe(true);
      }
      const [got, found] = ask(rawGet('a'), rawHead('a'));
      expect([got.code, got.body === value]).toEqual([RAW_HIT, true]);
      expect(got.head).toEqual({ ...TEXTS, valueBytes: length, ttlMs: 5000, tag: got.head?.tag });
      expect(found).toEqual({ code: RAW_FOUND, body: '', head: got.head });
      store.checkIntegrity();
    },
  );

  test('says what is left of its lifetime', () => {
    const { ask, clock } = createActor();
    ask(rawPut('a', 'v', { ttlMs: 1500 }), rawPut('b', 'v'));
    clock.ms += 1000;
    expect(ask(rawGet('a'), rawGet('b')).map(({ head }) => head?.ttlMs)).toEqual([500, 0]);
    clock.ms += 500;
    expect(ask(rawGet('a'), rawHead('a'))).toMatchObject([{ code: MISS }, { code: MISS }]);
  });

  test('of ASCII can be read as JSON, another one cannot until it is replaced', () => {
    const { ask } = createActor();
    ask(rawPut('text', 'say "x"\n'), rawPut('bytes', 'caf\xe9'));
    const [text, bytes] = ask(encodeGet('text', false), encodeGet('bytes', true));
    expect(valueIn(text.body as string)).toBe('say "x"\n');
    expect(bytes).toEqual({ code: NOT_TEXT, body: '' });
    const [stored, hit] = ask(encodePut('bytes', 'cafe', 0), encodeGet('bytes', false));
    expect([stored.code, hit.code]).toEqual([STORED, HIT]);
  });

  test('that was put as JSON has no content type, and a tag', () => {
    const { ask } = createActor();
    ask(
      encodePut('a', 'value', 0),
      encodePut('long', 'v'.repeat(50_000), 0),
      rawPut('b', 'value', { contentType: '' }),
    );
    const [a, long, b] = ask(rawGet('a'), rawHead('long'), rawHead('b'));
    expect(a).toMatchObject({ code: RAW_HIT, body: 'value', head: { contentType: '', contentEncoding: '' } });
    expect(long.head).toMatchObject({ valueBytes: 50_000 });
    expect(a.head?.tag).toMatch(/^[\w-]{16}$/);
    expect(a.head?.tag).toBe(b.head?.tag);
  });

  test('too large for the guarantee is refused, and what was there stays', () => {
    const { ask } = createActor();
    expect(ask(rawPut('a', 'old'), rawPut('a', 'x'.repeat(MIB + 9000)), rawGet('a'))).toMatchObject([
      { code: CREATED },
      { code: TOO_LARGE },
      { code: RAW_HIT, body: 'old' },
    ]);
  });
});

describe('the tag', () => {
  test('is that of value, type and encoding, whatever the length', () => {
    const { ask } = createActor();
    for (const length of [10, 16_384, 100_000]) {
      const value = allBytes(length);
      const tagOf = (key: string, text: string, texts = {}): string | undefined => {
        const [put, got] = ask(rawPut(key, text, { contentType: 'a/b', ...texts }), rawGet(key));
        expect(got.head?.tag).toBe(put.head?.tag);
        return got.head?.tag;
      };
      const tag = tagOf('a', value);
      expect(tagOf('b', value, { ttlMs: 5, headers: ['x', 'y'] })).toBe(tag);
      const others = [
        tagOf('a', `${value.slice(1)}x`),
        tagOf('a', `${value}a`),
        tagOf('a', value, { contentType: 'a/c' }),
        tagOf('a', value, { contentType: 'a/', contentEncoding: 'b' }),
        tagOf('a', value, { contentEncoding: 'gzip' }),
      ];
      expect(new Set([tag, ...others]).size).toBe(6);
    }
  });
});

describe('conditions', () => {
  test('If-None-Match: * creates only', () => {
    const { ask, clock } = createActor();
    const creates = Array.from({ length: 100 }, (_, i) =>
      rawPut('a', `${i}`, { ttlMs: 50, conditions: { ifNoneMatch: '*' } }),
    );
    const codes = ask(...creates).map(({ code }) => code);
    expect(codes).toEqual([CREATED, ...Array.from({ length: 99 }, () => PRECONDITION_FAILED)]);
    expect(ask(rawGet('a'))[0].body).toBe('0');
    clock.ms += 50;
    expect(ask(creates[7], rawGet('a'))).toMatchObject([{ code: CREATED }, { body: '7' }]);
  });

  test('If-Match replaces and deletes only what the client saw', () => {
    const { ask } = createActor();
    const [first] = ask(rawPut('a', 'one'));
    const seen = { ifMatch: [OTHER_TAG, first.head!.tag] };
    const [second, failed, kept, notDeleted] = ask(
      rawPut('a', 'two', { conditions: seen }),
      rawPut('a', 'three', { conditions: seen }),
      rawGet('a'),
      rawDelete('a', seen),
    );
    expect([second.code, failed.code, notDeleted.code]).toEqual([
      REPLACED,
      PRECONDITION_FAILED,
      PRECONDITION_FAILED,
    ]);
    expect(kept.body).toBe('two');
    expect(
      ask(
        rawDelete('a', { ifMatch: [second.head!.tag] }),
        rawDelete('a', { ifMatch: '*' }),
        rawDelete('a'),
        rawPut('a', 'x', { conditions: { ifMatch: '*' } }),
        rawGet('a'),
      ).map(({ code }) => code),
    ).toEqual([DELETED, PRECONDITION_FAILED, MISS, PRECONDITION_FAILED, MISS]);
  });

  test('of reads: not modified, failed, or gone on with', () => {
    const { ask } = createActor();
    const [put] = ask(rawPut('a', 'one', TEXTS));
    const { tag } = put.head!;
    const conditions = [
      { ifNoneMatch: [OTHER_TAG, tag] },
      { ifNoneMatch: '*' },
      { ifNoneMatch: [OTHER_TAG] },
      { ifMatch: [tag], ifNoneMatch: [tag] },
      { ifMatch: [OTHER_TAG], ifNoneMatch: [tag] },
      { ifMatch: '*' },
      { ifMatch: [] },
    ] as const;
    const codes = [
      NOT_MODIFIED,
      NOT_MODIFIED,
      RAW_HIT,
      NOT_MODIFIED,
      PRECONDITION_FAILED,
      RAW_HIT,
      PRECONDITION_FAILED,
    ];
    const replies = ask(...conditions.map((condition) => rawGet('a', condition)));
    expect(replies.map(({ code }) => code)).toEqual(codes);
    expect(replies[0]).toEqual({ code: NOT_MODIFIED, body: '', head: put.head });
    const heads = ask(...conditions.map((condition) => rawHead('a', condition)));
    expect(heads.map(({ code }) => code)).toEqual(codes.map((code) => (code === RAW_HIT ? RAW_FOUND : code)));
    expect(ask(rawGet('none', { ifMatch: '*' }), rawGet('none', { ifNoneMatch: '*' }))).toMatchObject([
      { code: MISS },
      { code: MISS },
    ]);
  });
});

describe('gzip of raw entries', () => {
  const text = 'compressible '.repeat(1000);

  test('is for text without a stored encoding, is kept, and not taken for that of the JSON body', () => {
    const { ask, store } = createActor();
    ask(rawPut('a', text, { contentType: 'text/css' }), rawPut('png', text), rawPut('br', text, TEXTS));
    for (let i = 0; i < 2; i++) {
      const [a, png, br, plain, json] = ask(
        rawGetGzip('a'),
        rawGetGzip('png'),
        rawGetGzip('br'),
        rawGet('a'),
        encodeGet('a', true),
      );
      expect([a.code, png.code, br.code, plain.code]).toEqual([RAW_HIT_GZIP, RAW_HIT, RAW_HIT, RAW_HIT]);
      expect(gunzip(a.body as string)).toBe(text);
      expect(plain.body).toBe(text);
      expect(a.head).toEqual(plain.head);
      expect(valueIn(gunzip(json.body as string))).toBe(text);
      store.checkIntegrity();
    }
    ask(rawGetGzip('a'));
    expect(store.gzipView(store.peek('a'), true)).toBeDefined();
    expect(store.gzipView(store.peek('a'))).toBeUndefined();
  });

  test.each([
    'text/plain; charset=utf-8',
    'application/json',
    'image/svg+xml',
    'application/problem+json; v=1',
    '',
  ])('type %j is compressed', (contentType) => {
    const { ask } = createActor();
    expect(ask(rawPut('a', text, { contentType }), rawGetGzip('a'))[1].code).toBe(RAW_HIT_GZIP);
  });

  test('of a long value comes later, with the head of its time', async () => {
    const { ask, nextLate } = createActor();
    const long = `${text.repeat(20)}\xff`;
    const late = nextLate();
    const [put, ticket] = ask(rawPut('a', long, { contentType: 'text/plain' }), rawGetGzip('a'));
    expect(ticket.code).toBe(LATE);
    ask(rawPut('a', 'anew'));
    const { code, payload, head } = await late;
    expect([code, gunzip(payload) === long]).toEqual([RAW_HIT_GZIP, true]);
    expect(head?.tag).toBe(put.head?.tag);
  });
});

describe('a raw read that finds the window full', () => {
  test('waits, and is refused when its entry changes; a condition that fails changes nothing', async () => {
    const { ask, handle, nextLate } = createActor(10_000);
    const value = allBytes(20_000);
    ask(rawPut('a', value), rawPut('b', value));
    const [first, second] = ask(rawGet('a'), rawGet('b'));
    expect([first.code, second.code]).toEqual([RAW_HIT, WAITING]);
    const late = nextLate();
    ask(rawPut('b', 'x', { conditions: { ifNoneMatch: '*' } }), rawDelete('b', { ifMatch: [] }));
    handle({ kind: 'delivered', bytes: value.length });
    expect(await late).toMatchObject({ code: RAW_HIT, payload: value, head: { valueBytes: 20_000 } });
    expect(ask(rawGet('b'))[0].code).toBe(WAITING);
    const refused = nextLate();
    ask(rawPut('b', 'anew'));
    expect(await refused).toMatchObject({ code: BUSY });
  });
});

test('random histories of raw and JSON requests are those of a plain map', () => {
  const random = new Random(printedSeed('raw entries'));
  const { ask, store } = createActor();
  const map = new Map<string, string>();
  const tags = new Map<string, string>();
  for (let i = 0; i < 5000; i++) {
    const key = `key-${random.whole(0, 20)}`;
    const old = map.get(key);
    const tag = tags.get(key);
    const ifMatch = random.chance(0.2)
      ? [random.chance(0.5) && tag !== undefined ? tag : OTHER_TAG]
      : undefined;
    const ifNoneMatch = random.chance(0.2) ? '*' : undefined;
    const isMet =
      (!ifMatch || (old !== undefined && ifMatch[0] === tag)) && (!ifNoneMatch || old === undefined);
    const conditions = { ifMatch, ifNoneMatch } as const;
    const kind = random.whole(0, 3);
    if (kind === 0) {
      const value = allBytes(random.whole(0, 400)).slice(random.whole(0, 50));
      const [reply] = ask(rawPut(key, value, { conditions }));
      expect(reply.code).toBe(isMet ? (old === undefined ? CREATED : REPLACED) : PRECONDITION_FAILED);
      if (isMet) {
        map.set(key, value);
        tags.set(key, reply.head!.tag);
      }
    } else if (kind === 1) {
      const [reply] = ask(rawDelete(key, conditions));
      expect(reply.code).toBe(isMet ? (old === undefined ? MISS : DELETED) : PRECONDITION_FAILED);
      if (isMet) map.delete(key);
    } else if (kind === 2) {
      const [reply] = ask(rawGet(key));
      expect(reply).toMatchObject(
        old === undefined ? { code: MISS } : { code: RAW_HIT, body: old, head: { tag } },
      );
    } else {
      const isText = /^[\0-\x7f]*$/.test(old ?? '');
      const [reply] = ask(encodeGet(key, false));
      expect(reply.code).toBe(old === undefined ? MISS : isText ? HIT : NOT_TEXT);
    }
  }
  store.checkIntegrity();
});
