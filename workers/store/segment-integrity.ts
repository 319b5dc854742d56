import { assert } from '../../src/shared/assert.ts';
import { blockChargeBytes } from '../../src/shared/segment-sizes.ts';
import { type BlockPool, blockOf, wordOf } from './block-pool.ts';
import { DEAD, entryBytesAt, expiresAtMs, flagsOf } from './entry-layout.ts';
import type { EntryTable } from './entry-table.ts';
import type { HashIndex } from './hash-index.ts';
import type { LruList } from './lru-list.ts';
import { NO_SLOT, type SlotTable } from './slot-table.ts';

/**
 * Checks that every entry is once in the list and once in the index.
 * @throws InvariantError
 */
export function checkList(
  list: LruList,
  slots: SlotTable,
  index: HashIndex,
  hashOfSlot: (slot: number) => number,
): void {
  let count = 0;
  for (let slot = slots.next(NO_SLOT), prev = NO_SLOT; slot !== NO_SLOT; slot = slots.next(slot)) {
    assert(slots.prev(slot) === prev, 'the list runs back as it runs forth');
    let inChain = index.head(index.bucketOf(hashOfSlot(slot)));
    while (inChain !== slot && inChain !== NO_SLOT) inChain = slots.chain(inChain);
    assert(inChain === slot, 'every listed entry is in the index');
    assert(++count <= slots.used, 'the list has no loop');
    prev = slot;
  }
  assert(count === slots.used, `the list has ${count} entries, the slots ${slots.used}`);
  assert(count > 0 || list.leastRecent === NO_SLOT, 'an empty list has no end');
  let indexed = 0;
  for (let bucket = 0; bucket < index.bucketCount; bucket++) {
    for (let slot = index.head(bucket); slot !== NO_SLOT; slot = slots.chain(slot)) indexed++;
  }
  assert(indexed === count, `the index has ${indexed} entries, the list ${count}`);
}

/**
 * Checks that slots and entries name each other, and that what the blocks count is what lies in them.
 * @throws InvariantError
 */
export function checkBlocks(blocks: BlockPool, slots: SlotTable): void {
  for (let slot = slots.next(NO_SLOT); slot !== NO_SLOT; slot = slots.next(slot)) {
    const address = slots.address(slot);
    const words = blocks.words[blockOf(address)];
    const at = wordOf(address);
    assert(words[at] === slot, 'a slot and its entry name each other');
    assert((flagsOf(words[at + 1]) & DEAD) === 0, 'no listed entry is dead');
  }
  let liveBytes = 0;
  let reservedBytes = 0;
  for (let block = 0; block < blocks.blocks; block++) {
    if (!blocks.isInUse(block)) continue;
    const live = checkBlock(blocks, slots, block);
    assert(blocks.soonestExpiryMs <= blocks.earliestExpiryMs[block], 'the bound of all is a bound of each');
    assert(live > 0 || block === blocks.openBlock, 'a block without a live entry is released');
    liveBytes += live;
    reservedBytes += blockChargeBytes(blocks.capacity(block));
  }
  assert(liveBytes === blocks.liveBytes, 'live bytes add up');
  assert(reservedBytes === blocks.reservedBytes, 'reserved bytes add up');
  assert(blocks.isSpareCharged, 'spare memory is charged');
}

function checkBlock(blocks: BlockPool, slots: SlotTable, block: number): number {
  const words = blocks.words[block];
  let live = 0;
  for (let at = 0; at < blocks.filled[block] >>> 2; at += entryBytesAt(words, at) >>> 2) {
    if ((flagsOf(words[at + 1]) & DEAD) !== 0) continue;
    const address = slots.address(words[at]);
    assert(blockOf(address) === block && wordOf(address) === at, 'a live entry has its slot');
    assert(blocks.earliestExpiryMs[block] <= expiresAtMs(words, at), 'the expiry bound is a bound');
    live += entryBytesAt(words, at);
  }
  assert(live === blocks.live[block], `block ${block} counts ${blocks.live[block]} live bytes of ${live}`);
  return live;
}

/**
 * Checks that each chain has one entry, and that what the chains count is what they have.
 * @throws InvariantError
 */
export function checkChains({ slots, codec, chains }: EntryTable): void {
  const ids: number[] = [];
  for (let slot = slots.next(NO_SLOT); slot !== NO_SLOT; slot = slots.next(slot)) {
    const id = codec.chainId(slot);
    if (id >= 0) ids.push(id);
  }
  chains.check(ids);
}
