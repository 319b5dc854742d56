import { type IProperty, array, assert, check, property } from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { guaranteeFor, maxEntryBytes } from '../../../src/shared/segment-sizes.ts';
import { BlockPool } from '../../../workers/store/block-pool.ts';
import { ChainTable } from '../../../workers/store/chain-table.ts';
import { Cleaner } from '../../../workers/store/cleaner.ts';
import { EntryCodec } from '../../../workers/store/entry-codec.ts';
import { Eviction } from '../../../workers/store/eviction.ts';
import { HashIndex } from '../../../workers/store/hash-index.ts';
import { LruList } from '../../../workers/store/lru-list.ts';
import { originalOf } from '../../support/original-of.ts';
import { IS_LONG } from '../../support/long.ts';
import { printedSeed } from '../../support/random.ts';
import { MIB, createSegment } from '../../support/segments.ts';
import { type Operation, SegmentModel, operation } from './segment-model.ts';

/** As many as find all that the canaries break. In the long form there are more than 200,000 operations. */
const CANARY_RUNS = 200;
const RUNS = IS_LONG ? 800 : CANARY_RUNS;
const MIN_OPERATIONS = IS_LONG ? 50_000 : 12_500;
const MOST_OPERATIONS = 200;
const MOST_VALUE_BYTES = 2 ** 18;
const GUARANTEE_BYTES = guaranteeFor(maxEntryBytes(256, MOST_VALUE_BYTES));

/** A segment of two to three blocks: nearly every other put displaces something. */
const SETUPS = [
  { name: 'at its guarantee', ceilingBytes: GUARANTEE_BYTES, capacity: 2 ** 20 },
  { name: 'with a block to spare', ceilingBytes: GUARANTEE_BYTES + 1.5 * MIB, capacity: 2 ** 20 },
  { name: 'with a capacity', ceilingBytes: GUARANTEE_BYTES + 4 * MIB, capacity: 20 },
] as const;

let performed = 0;

function drive(setup: (typeof SETUPS)[number], operations: readonly Operation[]): void {
  const subject = createSegment({ ...setup, mostValueBytes: MOST_VALUE_BYTES });
  const model = new SegmentModel(subject, setup.capacity);
  for (const op of operations) model.run(op);
  performed += operations.length;
  model.finish();
  subject.store.clear();
}

function sameAsReference(setup: (typeof SETUPS)[number]): IProperty<[Operation[]]> {
  const operations = array(operation, { minLength: 1, maxLength: MOST_OPERATIONS, size: 'max' });
  return property(operations, (list) => drive(setup, list));
}

describe('the segment store does what the reference does', () => {
  const seed = printedSeed('segment model');

  test.each(SETUPS)('$name', { timeout: 120_000 }, (setup) => {
    performed = 0;
    assert(sameAsReference(setup), { seed, numRuns: RUNS });
    console.log(`segment model, ${setup.name}: ${performed} operations`);
    expect(performed).toBeGreaterThan(MIN_OPERATIONS);
  });
});

/** Prototypes as they are inside, to break them. */
interface Insides {
  readonly bucketCount: number;
  copy(...args: unknown[]): void;
  grow(): void;
  setHead(bucket: number, slot: number): void;
}

function expectCaught(): void {
  for (const setup of SETUPS) {
    const details = check(sameAsReference(setup), { seed: 1, numRuns: CANARY_RUNS, endOnFailure: true });
    if (details.failed) return;
  }
  expect.unreachable('no run has failed');
}

describe('the model catches', () => {
  afterEach(() => vi.restoreAllMocks());

  test('a get that forgets to be a use', () => {
    vi.spyOn(LruList.prototype, 'touch').mockImplementation(() => undefined);
    expectCaught();
  });

  test('a value that stays behind when its entry is moved', () => {
    const insides = Cleaner.prototype as unknown as Insides;
    vi.spyOn(insides, 'copy').mockImplementation(() => undefined);
    expectCaught();
  });

  test('an entry that a split of its bucket loses', () => {
    const insides = HashIndex.prototype as unknown as Insides;
    const grow = originalOf(insides, 'grow');
    vi.spyOn(insides, 'grow').mockImplementation(function lossy(this: Insides) {
      grow.call(this);
      this.setHead(this.bucketCount - 1, 0);
    });
    expectCaught();
  });

  test('an eviction of one entry too many', () => {
    const evict = originalOf(Eviction.prototype, 'evict');
    vi.spyOn(Eviction.prototype, 'evict').mockImplementation(function greedy(
      this: Eviction,
      wantedBytes,
      reason,
    ) {
      return evict.call(this, wantedBytes, reason) + evict.call(this, 1, reason);
    });
    expectCaught();
  });

  test('a large value that goes while it is being read', () => {
    vi.spyOn(ChainTable.prototype, 'pin').mockImplementation(() => undefined);
    vi.spyOn(ChainTable.prototype, 'unpin').mockImplementation(() => undefined);
    expectCaught();
  });

  test('a large value that stays when its entry is replaced', () => {
    const release = originalOf(ChainTable.prototype, 'release');
    vi.spyOn(ChainTable.prototype, 'release').mockImplementation(function leaky(this: ChainTable, id) {
      const chain = this.at(id);
      chain.readers++;
      const bytes = release.call(this, id);
      chain.readers--;
      return bytes;
    });
    expectCaught();
  });

  test('a large value of which eviction counts only what lies in a block', () => {
    vi.spyOn(EntryCodec.prototype, 'bytes').mockReturnValue(64);
    expectCaught();
  });

  test('a block that is released without being counted', () => {
    const free = originalOf(BlockPool.prototype, 'free');
    vi.spyOn(BlockPool.prototype, 'free').mockImplementation(function leaky(this: BlockPool, address, bytes) {
      if (bytes > 50_000) this.liveBytes += 8;
      free.call(this, address, bytes);
    });
    expectCaught();
  });
});
