import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Deliveries } from '../../src/shards/deliveries.ts';

function createDeliveries(areAwaited: boolean) {
  const told: number[] = [];
  const deliveries = new Deliveries({ post: (bytes) => void told.push(bytes), areAwaited: () => areAwaited });
  return { deliveries, told };
}

describe('the shard is told of delivered bytes', () => {
  test('once per turn, where replies wait for them', async () => {
    const { deliveries, told } = createDeliveries(true);
    deliveries.add(5000);
    deliveries.add(6000);
    expect(told).toStrictEqual([]);
    await nextTurn();
    deliveries.add(7000);
    await nextTurn();
    expect(told).toStrictEqual([11_000, 7000]);
  });

  test('where none wait, of many only, or by the sweep', async () => {
    const { deliveries, told } = createDeliveries(false);
    for (let i = 0; i < 13; i++) deliveries.add(5000);
    await nextTurn();
    expect(told).toStrictEqual([]);
    deliveries.add(5000);
    deliveries.add(5000);
    await nextTurn();
    expect(told).toStrictEqual([75_000]);
    deliveries.add(5000);
    deliveries.tell();
    deliveries.tell();
    expect(told).toStrictEqual([75_000, 5000]);
  });

  test('of what it has not been told yet, when a reply begins to wait', async () => {
    const { deliveries, told } = createDeliveries(false);
    deliveries.add(5000);
    deliveries.tellSoon();
    deliveries.tellSoon();
    await nextTurn();
    expect(told).toStrictEqual([5000]);
  });
});
