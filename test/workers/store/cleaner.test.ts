import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { BLOCK_BYTES, SLOT_BYTES } from '../../../src/shared/segment-sizes.ts';
import { ShedOrder } from '../../../workers/shed-order.ts';
import { BlockPool } from '../../../workers/store/block-pool.ts';
import type { SegmentStore } from '../../../workers/store/segment-store.ts';
import { Random, printedSeed } from '../../support/random.ts';
import { MIB, createSegment } from '../../support/segments.ts';

const HEADER_AND_KEY_BYTES = 12 + 8;
/** Eight of these fill a block to 88.9 %: the rest is a waste that no cleaning can win back. */
const AWKWARD_BYTES = Math.ceil((BLOCK_BYTES + 1) / 9 / 8) * 8 - HEADER_AND_KEY_BYTES;

const name = (i: number): string => `k-${String(i).padStart(6, '0')}`;

function cleanAll(store: SegmentStore): number {
  let steps = 0;
  while (store.clean(2 ** 20)) expect(++steps).toBeLessThan(10_000);
  return steps;
}

describe('values of which a block holds few leave a rest in every block', () => {
  test('cleaning sees nothing to gain', () => {
    const { store } = createSegment();
    for (let i = 0; i < 400; i++) store.put(name(i), 'x'.repeat(AWKWARD_BYTES), 0);
    expect(cleanAll(store)).toBe(0);
    store.checkIntegrity();
  });

  test('a small put does not look at all blocks in vain', () => {
    const { store } = createSegment();
    for (let i = 0; i < 400; i++) store.put(name(i), 'x'.repeat(AWKWARD_BYTES), 0);
    const looks = vi.spyOn(BlockPool.prototype, 'capacity');
    onTestFinished(() => looks.mockRestore());
    for (let i = 0; i < 100; i++) store.put(name(1000 + i), 'x', 0);
    // Once, to see that there is nothing to gain.
    expect(looks.mock.calls.length).toBeLessThan(100 + 2 * 50);
  });

  test('a put at the ceiling ends, and displaces no more than it must', () => {
    const { store } = createSegment({ ceilingBytes: 40 * MIB });
    for (let i = 0; i < 1000; i++) store.put(name(i), 'x'.repeat(AWKWARD_BYTES), 0);
    expect(store.entries).toBeGreaterThan(290);
    expect(store.peek(name(999))).not.toBe(0);
    store.checkIntegrity();
  });

  test('a shed order ends', () => {
    const { store } = createSegment();
    for (let i = 0; i < 400; i++) store.put(name(i), 'x'.repeat(AWKWARD_BYTES), 0);
    for (let i = 0; i < 400; i += 3) store.get(name(i));
    const order = new ShedOrder(store, 4 * MIB);
    let ticks = 0;
    for (let slices = 0; !order.slice(1, () => ticks++); slices++) expect(slices).toBeLessThan(10_000);
    store.checkIntegrity();
  });
});

test('cleaning moves what lives, and gives every block back that it empties', () => {
  const { store } = createSegment();
  for (let i = 0; i < 20_000; i++) store.put(name(i), `${i}`.repeat(100), 0);
  const reservedBefore = store.reservedBytes;
  for (let i = 0; i < 20_000; i++) if (i % 4 !== 0) store.delete(name(i));
  cleanAll(store);
  store.checkIntegrity();
  expect(store.reservedBytes).toBeLessThan(reservedBefore * 0.4);
  for (let i = 0; i < 20_000; i += 4) expect(store.get(name(i)) === `${i}`.repeat(100)).toBe(true);
});

test('after the content was replaced ten times over, 85 % of what is reserved is live', () => {
  const random = new Random(printedSeed('replacement'));
  const { store } = createSegment();
  const filler = random.text(100_000);
  const entries = 6000;
  let worst = 1;
  for (let i = 0; i < entries * 11; i++) {
    const key = `key-${random.whole(0, entries - 1)}`;
    if (random.chance(0.1)) store.delete(key);
    // Sizes spread evenly over the orders of magnitude from 10 B to 100 KB.
    store.put(key, filler.slice(0, Math.floor(10 ** (1 + 4 * random.next()))), 0);
    if (i > entries && i % 100 === 0) worst = Math.min(worst, store.liveBytes / store.reservedBytes);
  }
  console.log(`live ÷ reserved at its worst: ${worst.toFixed(3)}`);
  expect(store.liveBytes / store.reservedBytes).toBeGreaterThanOrEqual(0.85);
  expect(worst).toBeGreaterThanOrEqual(0.85);
  expect(store.liveBytes).toBeGreaterThan(store.entries * SLOT_BYTES);
  store.checkIntegrity();
});
