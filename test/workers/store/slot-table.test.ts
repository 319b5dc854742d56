import { strict as assert } from 'node:assert';
import { expect, test } from 'vitest';
import { Ledger } from '../../../src/shared/ledger.ts';
import { SegmentMemory } from '../../../workers/store/segment-memory.ts';
import { NO_SLOT, SlotTable } from '../../../workers/store/slot-table.ts';
import { Random, printedSeed } from '../../support/random.ts';

const CHUNK_SLOTS = 2 ** 14;

test('looking for the last slot in use gives no slot away twice', () => {
  const ledger = Ledger.create(1, { ceiling: 2 ** 26, guarantee: 2 ** 22, unit: 4096 });
  const slots = new SlotTable(new SegmentMemory(ledger, 0));
  const taken: number[] = [];
  const take = (): void => {
    const slot = slots.take();
    slots.setAddress(slot, 1);
    taken.push(slot);
  };
  for (let i = 0; i < 2 * CHUNK_SLOTS - 100; i++) take();
  for (const slot of taken.splice(-1000)) slots.give(slot);
  expect(slots.lastUsedSlot()).toBe(taken.at(-1));
  for (let i = 0; i < 1100; i++) take();
  expect(new Set(taken).size).toBe(taken.length);
  expect(slots.lastUsedSlot()).toBe(Math.max(...taken));
});

test('over several chunks, at random: every slot is given out once, and compaction empties the last chunk', () => {
  const random = new Random(printedSeed('slot table'));
  const ledger = Ledger.create(1, { ceiling: 2 ** 26, guarantee: 2 ** 22, unit: 4096 });
  const slots = new SlotTable(new SegmentMemory(ledger, 0));
  const used = new Set<number>();
  const take = (): number => {
    const slot = slots.take();
    assert(!used.has(slot), `slot ${slot} is given out twice`);
    slots.setAddress(slot, 1);
    used.add(slot);
    return slot;
  };
  const give = (slot: number): void => {
    used.delete(slot);
    slots.give(slot);
  };
  for (let round = 0; round < 40; round++) {
    const wanted = random.whole(0, 5 * CHUNK_SLOTS);
    while (used.size < wanted) take();
    // From one end, or from all over.
    const candidates = [...used].toSorted((a, b) => (round % 2 === 0 ? a - b : b - a));
    for (const slot of candidates) {
      if (used.size <= wanted / 2) break;
      if (round % 3 !== 0 || random.chance(0.5)) give(slot);
    }
    for (let step = 0; slots.isSparse && step < CHUNK_SLOTS; step++) {
      const last = slots.lastUsedSlot();
      if (last === NO_SLOT) {
        slots.dropLastChunk();
        continue;
      }
      if (step % 1000 === 0) expect(last).toBe(used.values().reduce((a, b) => Math.max(a, b)));
      const lower = take();
      assert(lower < last, 'a slot moves down');
      give(last);
      // Others come and go while it is under way.
      if (random.chance(0.1)) take();
    }
    expect(slots.used).toBe(used.size);
    expect(slots.reservedBytes).toBe(ledger.held(0));
  }
});
