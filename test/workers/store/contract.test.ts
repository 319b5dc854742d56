import { describe, expect, test } from 'vitest';
import { OWN_BLOCK_BYTES } from '../../../src/shared/segment-sizes.ts';
import { ReferenceLru } from '../../support/reference-lru.ts';
import { Clock, MIB, createSegment } from '../../support/segments.ts';
import type { SegmentCounters } from '../../../workers/store/entry-table.ts';
import { type Metadata, NO_METADATA } from '../../../workers/store/metadata.ts';

/** What both have in common; the real store is checked for integrity after each test. */
interface Cache {
  readonly entries: number;
  readonly counters: SegmentCounters;
  get(key: string): string | undefined;
  put(key: string, value: string, ttlMs: number, metadata?: Metadata): boolean;
  delete(key: string): boolean;
  clear(): number;
}

interface Subject {
  readonly cache: Cache;
  /** Removes one entry. @returns 0 when there was none. */
  readonly removeLeastRecent: (reason: 'evicted' | 'shed') => number;
  /** What a key's value was put with. */
  readonly metadataOf: (key: string) => Metadata | undefined;
  readonly clock: Clock;
  readonly check: () => void;
}

const SUBJECTS: Readonly<Record<string, (capacity?: number) => Subject>> = {
  'the segment store': (capacity) => {
    const { store, clock } = createSegment(capacity === undefined ? {} : { capacity });
    return {
      cache: store,
      removeLeastRecent: (reason) => store.evict(1, reason),
      metadataOf: (key) => store.metadata(store.peek(key)),
      clock,
      check: () => store.checkIntegrity(),
    };
  },
  'the reference': (capacity) => {
    const clock = new Clock();
    const cache = new ReferenceLru(clock.now, capacity);
    return {
      cache,
      removeLeastRecent: (reason) => cache.removeLeastRecent(reason),
      metadataOf: (key) => cache.metadata(key),
      clock,
      check: () => undefined,
    };
  },
};

const ALL_ASCII = String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code));

describe.each(Object.entries(SUBJECTS))('%s', (_name, create) => {
  test('gets what was put, and nothing else', () => {
    const { cache, check } = create();
    expect(cache.get('a')).toBeUndefined();
    expect(cache.put('a', 'one', 0)).toBe(true);
    expect(cache.get('a')).toBe('one');
    expect(cache.get('A')).toBeUndefined();
    expect(cache.get('')).toBeUndefined();
    expect(cache.entries).toBe(1);
    check();
  });

  test('replaces by a value of any other length', () => {
    const { cache, check } = create();
    for (const value of ['one', '', 'x'.repeat(OWN_BLOCK_BYTES), 'two', 'y'.repeat(MIB), 'z']) {
      cache.put('a', value, 0);
      expect(cache.get('a') === value).toBe(true);
      expect(cache.entries).toBe(1);
      check();
    }
    expect(cache.counters.replaced).toBe(5);
  });

  test('keeps metadata with the value until the next put', () => {
    const { cache, metadataOf, check } = create();
    const metadata: Metadata = {
      contentType: 'application/octet-stream',
      contentEncoding: 'zstd',
      headers: ['x'.repeat(255), '\xff'],
      tag: 'a tag of 16 char',
      isText: false,
    };
    const forms: readonly Metadata[] = [
      metadata,
      { ...NO_METADATA, contentType: 'text/plain' },
      { ...NO_METADATA, contentEncoding: 'br' },
      { ...NO_METADATA, headers: ['', 'second'] },
      { ...NO_METADATA, tag: '0123456789abcdef' },
      NO_METADATA,
    ];
    for (const ttlMs of [0, 1000]) {
      for (const [i, form] of forms.entries()) cache.put(`key-${i}`, `value ${i}`, ttlMs, form);
      for (const [i, form] of forms.entries()) {
        expect(metadataOf(`key-${i}`)).toEqual(form);
        expect(cache.get(`key-${i}`)).toBe(`value ${i}`);
      }
      check();
    }
    cache.put('key-0', 'anew', 0);
    expect(metadataOf('key-0')).toEqual(NO_METADATA);
    check();
  });

  test('deletes once', () => {
    const { cache, check } = create();
    cache.put('a', 'one', 0);
    expect(cache.delete('a')).toBe(true);
    expect(cache.delete('a')).toBe(false);
    expect(cache.get('a')).toBeUndefined();
    expect(cache.entries).toBe(0);
    check();
  });

  test('clears all, says how many, and goes on', () => {
    const { cache, check } = create();
    for (let i = 0; i < 1000; i++) cache.put(`key-${i}`, 'v', 0);
    expect(cache.clear()).toBe(1000);
    expect(cache.clear()).toBe(0);
    expect(cache.get('key-5')).toBeUndefined();
    cache.put('key-5', 'again', 0);
    expect(cache.get('key-5')).toBe('again');
    expect(cache.entries).toBe(1);
    check();
  });

  test.each([0, 1, 7, 8, 9, 1000, 65_535, 65_536, OWN_BLOCK_BYTES - 20, OWN_BLOCK_BYTES, MIB - 80, MIB])(
    'keeps a value of %i bytes byte for byte',
    (bytes) => {
      const { cache, check } = create();
      const value = ALL_ASCII.repeat(Math.ceil(bytes / 128)).slice(0, bytes);
      cache.put('before', 'b', 0);
      cache.put('key', value, 0);
      cache.put('after', 'a', 0);
      expect(cache.get('key') === value).toBe(true);
      expect([cache.get('before'), cache.get('after')]).toEqual(['b', 'a']);
      check();
    },
  );

  test('keeps keys of every length apart', () => {
    const { cache, check } = create();
    for (let length = 1; length <= 256; length++) cache.put('k'.repeat(length), `of ${length}`, 0);
    for (let length = 1; length <= 256; length++) expect(cache.get('k'.repeat(length))).toBe(`of ${length}`);
    check();
  });

  test('keeps keys of every printable character, and those that objects know', () => {
    const { cache, check } = create();
    const keys = [
      ...ALL_ASCII.slice(0x20, 0x7f).split(''),
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
    ];
    for (const key of keys) expect(cache.get(key)).toBeUndefined();
    for (const key of keys) cache.put(key, `value of ${key}`, 0);
    for (const key of keys) expect(cache.get(key)).toBe(`value of ${key}`);
    expect(cache.entries).toBe(keys.length);
    check();
  });

  test('never returns an entry at or after its time', () => {
    const { cache, clock, check } = create();
    cache.put('a', 'one', 1000);
    clock.ms += 999;
    expect(cache.get('a')).toBe('one');
    clock.ms += 1;
    expect(cache.get('a')).toBeUndefined();
    expect(cache.entries).toBe(0);
    expect(cache.counters.expired).toBe(1);
    check();
  });

  test('does not delete what has expired', () => {
    const { cache, clock, check } = create();
    cache.put('a', 'one', 5);
    clock.ms += 5;
    expect(cache.delete('a')).toBe(false);
    expect(cache.counters).toMatchObject({ deleted: 0, expired: 1 });
    check();
  });

  test('a ttl of a fraction of a millisecond, and one of ten years', () => {
    const { cache, clock, check } = create();
    const tenYearsMs = 10 * 366 * 86_400_000;
    cache.put('short', 's', 0.001);
    cache.put('long', 'l', tenYearsMs);
    expect(cache.get('short')).toBe('s');
    clock.ms += 1;
    expect(cache.get('short')).toBeUndefined();
    clock.ms += tenYearsMs - 2;
    expect(cache.get('long')).toBe('l');
    clock.ms += 1;
    expect(cache.get('long')).toBeUndefined();
    check();
  });

  test('a put without ttl takes the ttl away, one with another sets that', () => {
    const { cache, clock, check } = create();
    cache.put('a', 'one', 10);
    cache.put('a', 'two', 0);
    cache.put('b', 'one', 10);
    cache.put('b', 'two', 30);
    cache.put('c', 'one', 0);
    cache.put('c', 'two', 10);
    clock.ms += 20;
    expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual(['two', 'two', undefined]);
    clock.ms += 20;
    expect([cache.get('a'), cache.get('b')]).toEqual(['two', undefined]);
    check();
  });

  test('what is put over an expired entry counts that as expired', () => {
    const { cache, clock, check } = create();
    cache.put('a', 'one', 10);
    clock.ms += 10;
    cache.put('a', 'two', 0);
    expect(cache.counters).toMatchObject({ expired: 1, replaced: 0 });
    check();
  });

  test('removes in the order of last use: puts, replacing puts and gets count, misses and deletes do not', () => {
    const { cache, removeLeastRecent, check } = create();
    for (const key of ['a', 'b', 'c', 'd', 'e']) cache.put(key, key, 0);
    cache.get('b');
    cache.put('a', 'anew', 0);
    cache.get('nothing');
    cache.delete('d');
    cache.get('b');
    const order = ['c', 'e', 'a', 'b'];
    for (const [i, key] of order.entries()) {
      expect(removeLeastRecent('shed')).toBeGreaterThan(0);
      // Looking would be a use; what is left is asked for only in the order in which it lies.
      expect(cache.get(key)).toBeUndefined();
      expect(cache.entries).toBe(order.length - 1 - i);
    }
    expect(removeLeastRecent('shed')).toBe(0);
    expect(cache.counters.shed).toBe(4);
    check();
  });

  test('a capacity displaces exactly the least recently used', () => {
    const { cache, check } = create(3);
    for (const key of ['a', 'b', 'c']) cache.put(key, key, 0);
    cache.get('a');
    cache.put('c', 'again', 0);
    expect(cache.counters.evicted).toBe(0);
    cache.put('d', 'd', 0);
    expect(cache.entries).toBe(3);
    expect(['b', 'a', 'c', 'd'].map((key) => cache.get(key))).toEqual([undefined, 'a', 'again', 'd']);
    expect(cache.counters.evicted).toBe(1);
    cache.delete('d');
    cache.put('e', 'e', 0);
    expect(cache.counters.evicted).toBe(1);
    cache.clear();
    for (const key of ['f', 'g', 'h', 'i']) cache.put(key, key, 0);
    expect(cache.entries).toBe(3);
    check();
  });

  test('counts', () => {
    const { cache, removeLeastRecent, clock, check } = create();
    cache.put('a', '1', 0);
    cache.put('a', '2', 0);
    cache.put('b', '1', 0);
    cache.put('c', '1', 1);
    cache.put('d', '1', 0);
    cache.put('e', '1', 1);
    clock.ms += 1;
    cache.get('a');
    cache.get('x');
    cache.get('c');
    cache.delete('a');
    removeLeastRecent('shed');
    removeLeastRecent('evicted');
    removeLeastRecent('evicted');
    cache.put('f', '1', 0);
    cache.clear();
    expect(cache.counters).toEqual({
      hits: 1,
      misses: 2,
      puts: 7,
      deleted: 1,
      cleared: 1,
      replaced: 1,
      expired: 2,
      evicted: 1,
      shed: 1,
    });
    check();
  });
});
