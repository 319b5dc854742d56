import { expect, test } from 'vitest';
import { Ledger } from '../../src/base/ledger.ts';
import { SlotTable } from '../../workers/store/slot-table.ts';

const CHUNK_SLOTS = 2 ** 14;

test('looking for the last slot in use gives no slot away twice', () => {
  const ledger = Ledger.create(1, { ceiling: 2 ** 26, guarantee: 2 ** 22, unit: 4096 });
  const slots = new SlotTable(ledger, 0);
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
