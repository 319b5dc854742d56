import { describe, expect, test } from 'vitest';
import type { Metadata } from '../../../workers/store/segment-store.ts';
import { MIB, addPiece, createSegment } from '../../support/segments.ts';
import { IS_LONG } from '../../support/long.ts';
import { Random, printedSeed } from '../../support/random.ts';
import { drainKeys, headerOf, inReadingOrder, loadAll, peekValue, saveAll } from '../../support/snapshots.ts';

const MANY = IS_LONG ? 1_000_000 : 20_000;
const METADATA: Metadata = {
  contentType: 'image/png',
  contentEncoding: 'br',
  headers: ['one', ''],
  tag: 'abcdefghijklmnop',
  isText: false,
};

/** The same entries in a store with another seed of the hash. */
function reload(sections: ReturnType<typeof saveAll>, setup: Parameters<typeof createSegment>[0] = {}) {
  const { store, clock } = createSegment({ seed: [7, 8], ...setup });
  store.restorer.begin();
  const counts = loadAll(store, inReadingOrder(sections));
  store.checkIntegrity();
  return { store, clock, counts };
}

function savedKeys(count: number, bytes = 10): ReturnType<typeof saveAll> {
  const { store } = createSegment();
  for (let i = count - 1; i >= 0; i--) store.put(`key-${i}`, `old-${'v'.repeat(bytes)}`, 0);
  return saveAll(store);
}

describe('a snapshot', () => {
  test('of nothing has no section', () => {
    expect(saveAll(createSegment().store)).toStrictEqual([]);
  });

  test('has all that an entry is kept with', () => {
    const { store, clock } = createSegment();
    store.put('plain', 'value', 0);
    store.put('k', '', 60_000);
    store.put('all', Buffer.from('é\0ÿ', 'latin1'), 1234, METADATA);
    store.put('text', 'x', 0, { ...METADATA, tag: '', isText: true });
    store.get('plain');
    store.attachGzip(store.peek('text'), Buffer.from('gzip'));
    const { store: other } = reload(saveAll(store), { clock });
    expect(peekValue(other, 'plain')).toBe('value');
    expect(other.ttlMs(other.peek('plain'))).toBeUndefined();
    expect(peekValue(other, 'k')).toBe('');
    expect(other.ttlMs(other.peek('k'))).toBe(60_000);
    expect(peekValue(other, 'all')).toBe('é\0ÿ');
    expect(other.ttlMs(other.peek('all'))).toBe(1234);
    expect(other.metadata(other.peek('all'))).toStrictEqual(METADATA);
    expect(other.metadata(other.peek('text'))).toStrictEqual({ ...METADATA, tag: '', isText: true });
    expect(other.gzipView(other.peek('text'))).toBeUndefined();
    // Those that were never read are counted when they go.
    while (other.entries > 0) other.evict(1, 'evicted');
    expect(other.evictedUnread).toBe(3);
  });

  test('leaves out what has expired, before it is written and before it is read', () => {
    const { store, clock } = createSegment();
    store.put('short', 'v', 1000);
    store.put('longer', 'v', 2000);
    store.put('longest', 'v', 5000);
    clock.ms += 1500;
    const sections = saveAll(store);
    clock.ms += 1500;
    const { store: other, counts } = reload(sections, { clock });
    expect(counts).toStrictEqual({ loaded: 1, superseded: 0, expired: 1, keptOut: 0 });
    expect(other.ttlMs(other.peek('longest'))).toBe(2000);
  });

  test('keeps the order of use, behind what has been put since the start', () => {
    const { store } = createSegment();
    for (let i = 0; i < 1000; i++) store.put(`key-${i}`, `value-${i}`, 0);
    for (let i = 0; i < 1000; i += 3) store.get(`key-${i}`);
    const { store: other } = createSegment();
    other.restorer.begin();
    other.put('new', 'v', 0);
    loadAll(other, saveAll(store));
    const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`);
    const order = drainKeys(store, keys);
    expect(drainKeys(other, [...keys, 'new'])).toStrictEqual([...order, 'new']);
  });

  test(
    `of ${MANY} entries is the same when it has been read, and is written again`,
    { timeout: 300_000 },
    () => {
      const random = new Random(printedSeed('snapshot of a snapshot'));
      const { store } = createSegment();
      for (let i = 0; i < MANY; i++) store.put(`key-${i}`, `value-${i}-`.padEnd(100, 'v'), 0);
      for (let i = 0; i < MANY / 10; i++) store.get(`key-${random.whole(0, MANY - 1)}`);
      const sections = saveAll(store);
      const { store: other, counts } = reload(sections);
      expect(counts.loaded).toBe(MANY);
      const again = saveAll(other);
      expect(again.length).toBe(sections.length);
      for (const [i, { bytes }] of again.entries()) expect(Buffer.compare(bytes, sections[i].bytes)).toBe(0);
    },
  );

  test('has large values, and values that need a section of their own', () => {
    const { store } = createSegment({ mostValueBytes: 4 * MIB });
    const long = 'l'.repeat(3 * MIB);
    store.put('before', 'v', 0);
    const chain = store.largeValues.begin();
    for (const letter of ['a', 'b', 'c']) addPiece(store, chain, letter.repeat(MIB - 64));
    addPiece(store, chain, 'end');
    store.putLarge('large', chain, 5000, METADATA);
    store.put('long', long, 0);
    const sections = saveAll(store);
    expect(sections.map(({ goesOn }) => goesOn)).toStrictEqual([false, true, true, true, true, false, false]);
    const { store: other, counts } = reload(sections, { mostValueBytes: 4 * MIB });
    expect(counts.loaded).toBe(3);
    expect(peekValue(other, 'large')).toBe(peekValue(store, 'large'));
    expect(other.metadata(other.peek('large'))).toStrictEqual(METADATA);
    expect(other.ttlMs(other.peek('large'))).toBe(5000);
    expect(peekValue(other, 'long')).toBe(long);
    expect(peekValue(other, 'before')).toBe('v');
  });

  test('of a large value that lacks a piece is not read', () => {
    const { store } = createSegment();
    const chain = store.largeValues.begin();
    for (const letter of ['a', 'b', 'c']) addPiece(store, chain, letter.repeat(1000));
    store.putLarge('large', chain, 0, METADATA);
    store.put('after', 'v', 0);
    const sections = saveAll(store);
    const { store: other, counts } = reload([...sections.slice(0, 2), ...sections.slice(3)]);
    expect(counts.loaded).toBe(1);
    expect(peekValue(other, 'after')).toBe('v');
    expect(peekValue(other, 'large')).toBeUndefined();
  });

  test('has the old value of a large entry that is replaced while it is written', () => {
    const { store } = createSegment();
    const chain = store.largeValues.begin();
    for (const letter of ['a', 'b', 'c']) addPiece(store, chain, letter.repeat(1000));
    store.putLarge('large', chain, 0, METADATA);
    const whole = peekValue(store, 'large');
    const sections = saveAll(store, () => store.put('large', 'small', 0));
    expect(peekValue(reload(sections).store, 'large')).toBe(whole);
    store.checkIntegrity();
  });
});

describe('a snapshot of a store in use', () => {
  const KEYS = 3000;

  test('has each key once, with a value that it had meanwhile; what is only read is not missed', () => {
    const random = new Random(printedSeed('snapshot of a store in use'));
    const { store } = createSegment({ ceilingBytes: 64 * MIB });
    const values = new Map<string, Set<string>>();
    const untouched = new Set<string>();
    const put = (key: string): void => {
      const value = random.text(random.whole(0, 2000));
      store.put(key, value, 0);
      values.set(key, (values.get(key) ?? new Set()).add(value));
    };
    for (let i = 0; i < KEYS; i++) put(`key-${i}`);
    for (const key of values.keys()) untouched.add(key);
    const sections = saveAll(store, () => {
      for (let i = 0; i < 20; i++) {
        const key = `key-${random.whole(0, KEYS + 200)}`;
        if (random.chance(0.7)) {
          store.get(key);
        } else {
          untouched.delete(key);
          if (random.chance(0.5)) put(key);
          else store.delete(key);
        }
      }
      if (random.chance(0.1)) store.maintain(4096);
    });
    store.checkIntegrity();
    expect(Math.max(...sections.map((section) => headerOf(section).pass))).toBeGreaterThan(1);
    const { store: other, counts } = reload(sections);
    // A key that came twice would be superseded by itself.
    expect(counts.superseded).toBe(0);
    for (const key of untouched) expect(peekValue(other, key), key).toBe([...values.get(key)!].at(-1));
    for (const [key, seen] of values) {
      const value = peekValue(other, key);
      if (value !== undefined) expect(seen, key).toContain(value);
    }
  });

  test('has what is put again before its turn, and ends although everything is used all the time', () => {
    const { store } = createSegment();
    for (let i = 0; i < 300; i++) store.put(`key-${i}`, 'old', 0);
    let round = 0;
    const sections = saveAll(store, () => {
      round++;
      for (let i = 0; i < 300; i += 7) store.put(`key-${i}`, `new-${round}`, 0);
      for (let i = 0; i < 300; i++) store.get(`key-${i}`);
    });
    expect(reload(sections).counts.loaded).toBe(300);
  });

  test('ends when all is cleared, and has nothing that came later', () => {
    const { store } = createSegment();
    for (let i = 0; i < KEYS; i++) store.put(`key-${i}`, 'v'.repeat(1000), 0);
    let isCleared = false;
    const sections = saveAll(store, () => {
      if (isCleared) return;
      isCleared = true;
      store.clear();
      for (let i = 0; i < 10; i++) store.put(`late-${i}`, 'v', 0);
    });
    const { store: other } = reload(sections);
    expect(other.entries).toBeLessThan(KEYS);
    expect(peekValue(other, 'late-0')).toBeUndefined();
    store.checkIntegrity();
  });

  test('goes on when slots are moved together', () => {
    const { store } = createSegment();
    const count = 60_000;
    for (let i = 0; i < count; i++) store.put(`key-${i}`, 'v', 0);
    let rounds = 0;
    const sections = saveAll(store, () => {
      if (rounds++ === 100) for (let i = 0; i < count; i++) if (i % 20 !== 0) store.delete(`key-${i}`);
      if (rounds > 100) store.maintain(2 ** 20);
    });
    const { store: other } = reload(sections);
    for (let i = 0; i < count; i++) if (i % 20 === 0) expect(peekValue(other, `key-${i}`)).toBe('v');
    store.checkIntegrity();
  });
});

describe('what is read from a snapshot', () => {
  test('counts once, however often it comes', () => {
    const sections = savedKeys(5000);
    const { store, counts } = reload([...sections, ...sections]);
    expect(counts).toStrictEqual({ loaded: 5000, superseded: 5000, expired: 0, keptOut: 0 });
    expect(store.entries).toBe(5000);
  });

  test('does not take the place of what was there when it began', () => {
    const { store } = createSegment();
    store.put('key-7', 'new', 0);
    store.restorer.begin();
    expect(loadAll(store, savedKeys(100))).toMatchObject({ loaded: 99, superseded: 1 });
    expect(peekValue(store, 'key-7')).toBe('new');
    store.checkIntegrity();
  });

  test('never takes the place of what clients have put or removed since the start', () => {
    const { store, clock } = createSegment();
    store.restorer.begin();
    const [section] = savedKeys(1000);
    store.put('key-1', 'new', 0);
    store.put('key-2', 'new', 1000);
    store.put('key-3', 'new', 0);
    store.delete('key-3');
    store.delete('key-4');
    store.put('key-5', 'new', 10);
    clock.ms += 10;
    expect(store.get('key-5')).toBeUndefined();
    let isChanged = false;
    loadAll(store, [section], () => {
      if (isChanged) return;
      isChanged = true;
      store.put('key-900', 'new', 0);
      store.delete('key-901');
      clock.ms += 1000;
      store.removeExpired(MIB);
      store.maintain(MIB);
    });
    expect(isChanged).toBe(true);
    store.restorer.end();
    const found = [0, 1, 2, 3, 4, 5, 6, 900, 901, 902].map((i) => peekValue(store, `key-${i}`)?.slice(0, 3));
    const none = undefined;
    expect(found).toStrictEqual(['old', 'new', none, none, none, none, 'old', 'new', none, 'old']);
    store.checkIntegrity();
  });

  test.each([
    ['everything is cleared', (store: ReturnType<typeof createSegment>['store']) => void store.clear()],
    [
      'something is evicted',
      (store: ReturnType<typeof createSegment>['store']) => void store.evict(1, 'shed'),
    ],
  ])('ends when %s', (_name, act) => {
    const { store } = createSegment();
    store.restorer.begin();
    store.put('other', 'v', 0);
    act(store);
    const counts = loadAll(store, savedKeys(100));
    expect(counts).toStrictEqual({ loaded: 0, superseded: 0, expired: 0, keptOut: 100 });
    expect(store.restorer.isOpen).toBe(false);
  });

  test('is what fits, the hottest, and evicts nothing', () => {
    const { store } = createSegment({ ceilingBytes: 16 * MIB });
    store.restorer.begin();
    store.put('new', 'v', 0);
    const counts = loadAll(store, savedKeys(30_000, 1000));
    expect(counts.keptOut).toBeGreaterThan(1000);
    expect(counts.loaded).toBeGreaterThan(5000);
    expect(store.counters.evicted).toBe(0);
    expect(peekValue(store, 'new')).toBe('v');
    expect(peekValue(store, `key-${counts.loaded - 1}`)).toBeDefined();
    expect(peekValue(store, `key-${counts.loaded}`)).toBeUndefined();
    store.checkIntegrity();
  });

  test('stops below the threshold, and at the capacity', () => {
    const { store, ledger } = createSegment({ ceilingBytes: 64 * MIB });
    ledger.setLimits(64 * MIB, ledger.guarantee, 48 * MIB);
    store.restorer.begin();
    loadAll(store, savedKeys(30_000, 1000));
    expect(ledger.totalHeld()).toBeGreaterThanOrEqual(15 * MIB);
    expect(ledger.totalHeld()).toBeLessThan(17.1 * MIB);
    const { store: small } = createSegment({ capacity: 50 });
    small.restorer.begin();
    expect(loadAll(small, savedKeys(100))).toMatchObject({ loaded: 50, keptOut: 50 });
    expect(peekValue(small, 'key-49')).toBeDefined();
    small.checkIntegrity();
  });

  test('is without an entry that is too large for the settings of now', () => {
    const { store } = createSegment({ mostValueBytes: 4 * MIB });
    store.put('long', 'l'.repeat(3 * MIB), 0);
    store.put('short', 's', 0);
    const { store: other, counts } = reload(saveAll(store), { mostValueBytes: MIB });
    expect(counts).toMatchObject({ loaded: 1, keptOut: 1 });
    expect(peekValue(other, 'short')).toBe('s');
  });
});
