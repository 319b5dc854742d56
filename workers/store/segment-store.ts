import { assert } from '../../src/base/assert.ts';
import { hashKey } from '../../src/base/key-hash.ts';
import type { Ledger } from '../../src/base/ledger.ts';
import {
  BLOCK_CHARGE_BYTES,
  SLOT_BYTES,
  blockChargeBytes,
  guaranteeFor,
} from '../../src/base/segment-sizes.ts';
import { BlockPool, NO_ADDRESS, blockOf, wordOf } from './block-pool.ts';
import { Cleaner, WASTE_FLOOR_BYTES, isWasteful, lacksHoles } from './cleaner.ts';
import {
  DEAD,
  EXPIRES,
  GZIP,
  INCOMPRESSIBLE,
  PLAIN,
  entryBytes,
  entryBytesAt,
  expiresAtMs,
  flagsOf,
  gzipBytesAt,
  keyBytesOf,
  keyOffset,
  keyStartAt,
  packWord1,
  tagOf,
  valueStartAt,
} from './entry-layout.ts';
import { ExpirySweep } from './expiry-sweep.ts';
import { AHEAD_KEYS, ReadAhead } from './read-ahead.ts';
import { HashIndex } from './hash-index.ts';
import { LruList } from './lru-list.ts';
import { NO_SLOT, SlotTable } from './slot-table.ts';

export { AHEAD_KEYS, NO_SLOT };

export interface SegmentOptions {
  /** This shard's number: its cell in the ledgers. */
  readonly shard: number;
  /** Bytes reserved over all shards. */
  readonly ledger: Ledger;
  /** Entries over all shards, where a capacity is set. */
  readonly entryLedger?: Ledger | undefined;
  /** Two words of randomness for the hash of keys. */
  readonly seed: readonly [number, number];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Why an entry went. */
export type Removal = 'deleted' | 'replaced' | 'expired' | 'evicted' | 'shed';

export interface SegmentCounters {
  hits: number;
  misses: number;
  puts: number;
  deleted: number;
  replaced: number;
  expired: number;
  evicted: number;
  shed: number;
}

const COLD_BATCH = 32;

/** Work per byte that a PUT or DELETE does for the cleaner: at 85 % live, one byte gained costs seven moved. */
const CLEANING_RATIO = 12;
const LEAST_CLEANING_BYTES = 4096;
/** Near the ceiling a PUT displaces up to this many times its own size, until there are holes enough. */
const TIGHT_DISPLACEMENT_RATIO = 2;
/** Displaced at once, at the least, when the ledger has refused. */
const REFUSED_DISPLACEMENT_BYTES = 2 ** 15;

/**
 * All entries of one shard, in strict least-recently-used order, outside the JavaScript heap. The only face
 * of this folder. Reads and writes cost the same however many entries there are; a write may displace the
 * least recently used entries when the ledger refuses a block.
 *
 * A slot returned by `find` stays valid until the next call that changes the segment.
 */
export class SegmentStore {
  readonly counters: SegmentCounters = {
    hits: 0,
    misses: 0,
    puts: 0,
    deleted: 0,
    replaced: 0,
    expired: 0,
    evicted: 0,
    shed: 0,
  };

  private readonly options: SegmentOptions;
  private readonly seed0: number;
  private readonly seed1: number;
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private readonly list: LruList;
  private readonly index: HashIndex;
  private readonly cleaner: Cleaner;
  private readonly sweep: ExpirySweep;
  private readonly ahead: ReadAhead;
  private readonly coldSlots = new Uint32Array(COLD_BATCH);
  private readonly coldHashes = new Uint32Array(COLD_BATCH);
  protected lastRead = 0;

  constructor(options: SegmentOptions) {
    const { ledger, shard } = options;
    this.options = options;
    this.seed0 = options.seed[0];
    this.seed1 = options.seed[1];
    this.blocks = new BlockPool(ledger, shard);
    this.slots = new SlotTable(ledger, shard);
    this.list = new LruList(this.slots);
    this.index = new HashIndex(this.slots, (slot) => this.hashOfSlot(slot), ledger, shard);
    this.cleaner = new Cleaner(this.blocks, this.slots);
    this.ahead = new ReadAhead(this.blocks, this.slots, this.index);
    this.sweep = new ExpirySweep(this.blocks, (slot) => this.remove(slot, 'expired'));
  }

  get entries(): number {
    return this.slots.used;
  }

  /** Bytes that the entries themselves need: header, key, value, gzip form, padding and slot. */
  get liveBytes(): number {
    return this.blocks.liveBytes + this.slots.used * SLOT_BYTES;
  }

  /** Bytes taken from the system: blocks, slots and index. */
  get reservedBytes(): number {
    return this.blocks.reservedBytes + this.slots.reservedBytes + this.index.reservedBytes;
  }

  get(key: string): string | undefined {
    const slot = this.find(key);
    return slot === NO_SLOT ? undefined : this.value(slot);
  }

  /** Announces a key that is about to be looked up, one of `AHEAD_KEYS` at the most. */
  announce(key: string): void {
    this.ahead.add(this.hash(key));
  }

  /** Reads ahead for the keys that were announced. */
  readAnnounced(): void {
    this.ahead.run();
  }

  /** Looks a key up, counts the hit or miss, and makes a hit the most recently used. NO_SLOT is a miss. */
  find(key: string): number {
    const slot = this.lookup(key, this.hash(key));
    if (slot === NO_SLOT || this.removeIfExpired(slot)) {
      this.counters.misses++;
      return NO_SLOT;
    }
    this.counters.hits++;
    this.list.touch(slot);
    return slot;
  }

  /** Looks a key up without counting or touching. NO_SLOT where there is none, or it has expired. */
  peek(key: string): number {
    const slot = this.lookup(key, this.hash(key));
    return slot !== NO_SLOT && this.expiryOf(slot) <= this.options.now() ? NO_SLOT : slot;
  }

  valueBytes(slot: number): number {
    const address = this.slots.address(slot);
    return this.blocks.words[blockOf(address)][wordOf(address) + 2];
  }

  value(slot: number): string {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = valueStartAt(words, at);
    return this.blocks.bytes[blockOf(address)].toString('latin1', start, start + words[at + 2]);
  }

  /** The value's bytes where they lie, not a copy: to be read before the next call that changes the segment. */
  valueView(slot: number): Buffer {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = valueStartAt(words, at);
    return this.blocks.bytes[blockOf(address)].subarray(start, start + words[at + 2]);
  }

  /** The gzip form kept beside the value, where there is one: as `valueView`, not a copy. */
  gzipView(slot: number): Buffer | undefined {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    if ((flags & GZIP) === 0) return undefined;
    const start = valueStartAt(words, at) + words[at + 2];
    return this.blocks.bytes[blockOf(address)].subarray(start, start + gzipBytesAt(words, at, flags));
  }

  /** True when compression was tried for this entry and saved nothing. */
  isIncompressible(slot: number): boolean {
    return (this.flags(slot) & INCOMPRESSIBLE) !== 0;
  }

  /** True when `markPlain` was called for this entry. */
  isPlain(slot: number): boolean {
    return (this.flags(slot) & PLAIN) !== 0;
  }

  /** Remembers that the value stands in JSON as it is, so that nobody looks for what to escape again. */
  markPlain(slot: number): void {
    this.addFlag(slot, PLAIN);
  }

  /**
   * Stores an entry as the most recently used, displacing least recently used ones if there is no room.
   * @param value text of one-byte characters, or the bytes.
   * @param ttlMs 0 for an entry that does not expire.
   * @returns false, and nothing changed, when an entry of this size is never stored.
   */
  put(key: string, value: string | Uint8Array, ttlMs: number): boolean {
    const expires = ttlMs > 0;
    const bytes = entryBytes(key.length, value.length, expires, -1);
    if (guaranteeFor(bytes) > this.options.ledger.guarantee) return false;
    this.counters.puts++;
    const hash = this.hash(key);
    const old = this.lookup(key, hash);
    if (old !== NO_SLOT) {
      const replaced = this.expiryOf(old) <= this.options.now() ? 'expired' : 'replaced';
      this.removeHashed(old, hash, replaced);
    }
    this.makeRoomInCapacity();
    const address = this.allocate(bytes);
    const slot = this.takeSlot();
    const expiryMs = expires ? Math.ceil(this.options.now() + ttlMs) : Infinity;
    this.write(address, slot, key, hash, value, expiryMs);
    this.slots.setAddress(slot, address);
    this.list.insertMostRecent(slot);
    this.index.insert(hash, slot);
    if (this.blocks.isTight) this.makeHoles(bytes);
    this.tidy(bytes);
    return true;
  }

  /** @returns whether there was such an entry. */
  delete(key: string): boolean {
    const hash = this.hash(key);
    const slot = this.lookup(key, hash);
    if (slot === NO_SLOT || this.removeIfExpired(slot)) return false;
    this.tidy(this.removeHashed(slot, hash, 'deleted'));
    return true;
  }

  /** Removes every entry and gives all memory back. @returns how many there were. */
  clear(): number {
    const removed = this.slots.used;
    this.counters.deleted += removed;
    this.options.entryLedger?.release(this.options.shard, removed);
    this.reset();
    return removed;
  }

  /**
   * Keeps `gzip` beside the value, charged to the entry. Room is made as for a PUT, but never by displacing this entry
   * or one used more recently: rather the form is not kept, nor where an entry is so large that all others might have
   * to go for it. An empty `gzip` marks the entry as incompressible.
   */
  attachGzip(slot: number, gzip: Uint8Array): void {
    const { blocks, slots } = this;
    if (gzip.length === 0) {
      this.addFlag(slot, INCOMPRESSIBLE);
      return;
    }
    const bytes = this.entryBytesWith(slot, gzip.length);
    const bothBytes = bytes + this.entryBytesWith(slot, -1);
    const isBounded = guaranteeFor(bothBytes) <= this.options.ledger.guarantee;
    const to = isBounded ? this.allocate(bytes, slot) : blocks.allocate(bytes);
    if (to === NO_ADDRESS) return;
    // Only now: making room may have moved the entry.
    const address = slots.address(slot);
    const source = blocks.words[blockOf(address)];
    const at = wordOf(address);
    const word1 = source[at + 1];
    const flags = flagsOf(word1);
    const keyBytes = keyBytesOf(word1);
    const valueBytes = source[at + 2];
    const toBytes = blocks.bytes[blockOf(to)];
    const target = blocks.words[blockOf(to)];
    const toWord = wordOf(to);
    const expiryMs = expiresAtMs(source, at);
    this.writeHeader(
      to,
      slot,
      keyBytes,
      (flags & (EXPIRES | PLAIN)) | GZIP,
      tagOf(word1),
      valueBytes,
      expiryMs,
    );
    target[toWord + 3 + ((flags & EXPIRES) !== 0 ? 2 : 0)] = gzip.length;
    const from = at * 4 + keyOffset(flags);
    const start = toWord * 4 + keyOffset(flags | GZIP);
    blocks.bytes[blockOf(address)].copy(toBytes, start, from, from + keyBytes + valueBytes);
    toBytes.set(gzip, start + keyBytes + valueBytes);
    slots.setAddress(slot, to);
    const oldBytes = entryBytesAt(source, at);
    source[at + 1] |= DEAD << 16;
    blocks.free(address, oldBytes);
    this.tidy(bytes);
  }

  /** Removes the least recently used entry. @returns its bytes in its block, 0 when there is none. */
  removeLeastRecent(reason: 'evicted' | 'shed'): number {
    const slot = this.list.leastRecent;
    if (slot === NO_SLOT) return 0;
    return this.remove(slot, this.expiryOf(slot) <= this.options.now() ? 'expired' : reason);
  }

  /**
   * Removes a handful of the least recently used entries, until `wantedBytes` have gone. Does the same as
   * `removeLeastRecent` again and again, in half the time: see `gatherColdest`.
   * @returns the bytes in their blocks, 0 when there is no entry.
   */
  removeColdest(wantedBytes: number, reason: 'evicted' | 'shed'): number {
    const count = this.gatherColdest();
    const nowMs = this.options.now();
    let bytes = 0;
    for (let i = 0; i < count && bytes < wantedBytes; i++) {
      const slot = this.coldSlots[i];
      const isExpired = this.expiryOf(slot) <= nowMs;
      bytes += this.removeHashed(slot, this.coldHashes[i], isExpired ? 'expired' : reason);
    }
    return bytes;
  }

  /** Bytes of blocks that no entry uses. */
  get wasteBytes(): number {
    return this.blocks.wasteBytes;
  }

  /** Gives back the memory of a released block that is kept for the next one. */
  releaseSpare(): void {
    this.blocks.dropSpare();
  }

  /** Moves up to about `budgetBytes` of entries together. @returns false when there is nothing to gain. */
  clean(budgetBytes: number): boolean {
    return this.cleaner.step(budgetBytes);
  }

  /**
   * One small step of what need not be done at once: expired entries, holes, empty slots.
   * @returns false when there is nothing left to do.
   */
  maintain(budgetBytes: number): boolean {
    if (this.sweep.step(this.options.now(), budgetBytes)) return true;
    if (isWasteful(this.blocks.reservedBytes, this.blocks.wasteBytes) && this.cleaner.step(budgetBytes)) {
      return true;
    }
    return this.compactSlots(Math.ceil(budgetBytes / 64));
  }

  /** @throws InvariantError when any part of the segment contradicts another. Costs a walk of everything. */
  checkIntegrity(): void {
    this.checkList();
    this.checkBlocks();
    const { ledger, shard, entryLedger } = this.options;
    const charged = this.blocks.chargedBytes + this.slots.reservedBytes + this.index.reservedBytes;
    assert(ledger.held(shard) === charged, `the ledger holds ${ledger.held(shard)}, the segment ${charged}`);
    assert(!entryLedger || entryLedger.held(shard) === this.entries, 'the entry ledger counts the entries');
  }

  private checkList(): void {
    const { slots, blocks, index, list } = this;
    let count = 0;
    for (let slot = slots.next(NO_SLOT), prev = NO_SLOT; slot !== NO_SLOT; slot = slots.next(slot)) {
      assert(slots.prev(slot) === prev, 'the list runs back as it runs forth');
      const address = slots.address(slot);
      const words = blocks.words[blockOf(address)];
      const at = wordOf(address);
      assert(words[at] === slot, 'a slot and its entry name each other');
      assert((flagsOf(words[at + 1]) & DEAD) === 0, 'no listed entry is dead');
      let inChain = index.head(index.bucketOf(this.hashOfSlot(slot)));
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

  private checkBlocks(): void {
    const { blocks, slots } = this;
    let liveBytes = 0;
    let reservedBytes = 0;
    for (let block = 0; block < blocks.blocks; block++) {
      if (!blocks.isInUse(block)) continue;
      const words = blocks.words[block];
      let live = 0;
      for (let at = 0; at < blocks.filled[block] >>> 2; at += entryBytesAt(words, at) >>> 2) {
        if ((flagsOf(words[at + 1]) & DEAD) !== 0) continue;
        const address = slots.address(words[at]);
        assert(blockOf(address) === block && wordOf(address) === at, 'a live entry has its slot');
        assert(blocks.earliestExpiryMs[block] <= expiresAtMs(words, at), 'the expiry bound is a bound');
        live += entryBytesAt(words, at);
      }
      assert(
        live === blocks.live[block],
        `block ${block} counts ${blocks.live[block]} live bytes of ${live}`,
      );
      assert(live > 0 || block === blocks.openBlock, 'a block without a live entry is released');
      liveBytes += live;
      reservedBytes += blockChargeBytes(blocks.capacity(block));
    }
    assert(liveBytes === blocks.liveBytes, 'live bytes add up');
    assert(reservedBytes === blocks.reservedBytes, 'reserved bytes add up');
    assert(blocks.isSpareCharged, 'spare memory is charged');
  }

  private flags(slot: number): number {
    const address = this.slots.address(slot);
    return flagsOf(this.blocks.words[blockOf(address)][wordOf(address) + 1]);
  }

  private addFlag(slot: number, flag: number): void {
    const address = this.slots.address(slot);
    this.blocks.words[blockOf(address)][wordOf(address) + 1] |= flag << 16;
  }

  private hash(key: string): number {
    return hashKey(key, this.seed0, this.seed1);
  }

  private hashOfSlot(slot: number): number {
    const address = this.slots.address(slot);
    const block = blockOf(address);
    const at = wordOf(address);
    const words = this.blocks.words[block];
    const start = keyStartAt(words, at);
    return this.hash(this.blocks.bytes[block].toString('latin1', start, start + keyBytesOf(words[at + 1])));
  }

  /**
   * Collects the coldest slots and their hashes. What an entry's removal touches lies all over memory; read
   * for all of them first, step by step, the processor has many of those reads under way at once.
   */
  private gatherColdest(): number {
    const { slots, blocks, index, coldSlots, coldHashes } = this;
    let count = 0;
    for (let slot = this.list.leastRecent; slot !== NO_SLOT && count < COLD_BATCH; slot = slots.prev(slot)) {
      coldSlots[count++] = slot;
    }
    let read = 0;
    for (let i = 0; i < count; i++) {
      const address = slots.address(coldSlots[i]);
      read ^= blocks.words[blockOf(address)][wordOf(address)];
    }
    for (let i = 0; i < count; i++) coldHashes[i] = this.hashOfSlot(coldSlots[i]);
    for (let i = 0; i < count; i++) read ^= index.head(index.bucketOf(coldHashes[i]));
    for (let i = 0; i < count; i++) read ^= slots.chain(index.head(index.bucketOf(coldHashes[i])));
    // Kept, so that reading is not optimised away.
    this.lastRead = read;
    return count;
  }

  private lookup(key: string, hash: number): number {
    const { slots, blocks } = this;
    // Key length and tag are compared at once, so that a stranger in the chain costs one comparison.
    const wanted = packWord1(key.length, 0, hash >>> 24);
    for (let slot = this.index.head(this.index.bucketOf(hash)); slot !== NO_SLOT; slot = slots.chain(slot)) {
      const address = slots.address(slot);
      const block = blockOf(address);
      const at = wordOf(address);
      const words = blocks.words[block];
      if ((words[at + 1] & 0xff00ffff) >>> 0 !== wanted) continue;
      if (keyEquals(blocks.bytes[block], keyStartAt(words, at), key)) return slot;
    }
    return NO_SLOT;
  }

  private expiryOf(slot: number): number {
    const address = this.slots.address(slot);
    return expiresAtMs(this.blocks.words[blockOf(address)], wordOf(address));
  }

  private removeIfExpired(slot: number): boolean {
    const atMs = this.expiryOf(slot);
    if (atMs === Infinity || atMs > this.options.now()) return false;
    this.remove(slot, 'expired');
    return true;
  }

  private remove(slot: number, reason: Removal): number {
    return this.removeHashed(slot, this.hashOfSlot(slot), reason);
  }

  private removeHashed(slot: number, hash: number, reason: Removal): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const bytes = entryBytesAt(words, at);
    this.list.remove(slot);
    this.index.remove(hash, slot);
    this.slots.give(slot);
    words[at + 1] |= DEAD << 16;
    this.blocks.free(address, bytes);
    this.options.entryLedger?.release(this.options.shard, 1);
    this.counters[reason]++;
    return bytes;
  }

  private makeRoomInCapacity(): void {
    const { entryLedger, shard } = this.options;
    while (entryLedger && !entryLedger.tryReserve(shard, 1)) {
      assert(this.removeLeastRecent('evicted') > 0, 'every shard may hold one entry');
    }
  }

  /**
   * Displaces a little ahead of need when the ceiling is near. Entries that were put together but read apart
   * leave holes all over, and cleaning wants a share of them before it gains more than it moves: made in small
   * steps, on the way to the ceiling, no PUT has to wait for all of them.
   */
  private makeHoles(putBytes: number): void {
    let displaced = 0;
    while (
      displaced < putBytes * TIGHT_DISPLACEMENT_RATIO &&
      lacksHoles(this.blocks.reservedBytes, this.blocks.wasteBytes)
    ) {
      const bytes = this.slots.used > 1 ? this.removeLeastRecent('evicted') : 0;
      if (bytes === 0) return;
      displaced += bytes;
    }
  }

  /** What an entry takes in its block with a gzip form of so many bytes. */
  private entryBytesWith(slot: number, gzipBytes: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const word1 = words[at + 1];
    return entryBytes(keyBytesOf(word1), words[at + 2], (flagsOf(word1) & EXPIRES) !== 0, gzipBytes);
  }

  /**
   * Room for an entry, by displacement if need be: what was not made ready by `makeHoles` is made now.
   * @param keep an entry that may not be displaced for it; NO_SLOT for none.
   * @returns NO_ADDRESS when only `keep` and what was used since could go.
   */
  private allocate(bytes: number, keep = NO_SLOT): number {
    const { blocks, list } = this;
    for (;;) {
      const address = blocks.allocate(bytes);
      if (address !== NO_ADDRESS) return address;
      if (blocks.wasteBytes > WASTE_FLOOR_BYTES && this.cleaner.step(BLOCK_CHARGE_BYTES)) continue;
      let displaced = 0;
      while (displaced < Math.max(REFUSED_DISPLACEMENT_BYTES, bytes)) {
        if (keep !== NO_SLOT && list.leastRecent === keep) return NO_ADDRESS;
        const removed = this.removeLeastRecent('evicted');
        if (removed === 0) break;
        displaced += removed;
      }
      if (displaced === 0) {
        // Slots and index may hold what the block needs; with no entry left they can go.
        this.reset();
        const last = blocks.allocate(bytes);
        assert(last !== NO_ADDRESS, 'an empty segment has room for any entry it accepts');
        return last;
      }
    }
  }

  private takeSlot(): number {
    for (;;) {
      const slot = this.slots.take();
      if (slot !== NO_SLOT) return slot;
      assert(this.removeLeastRecent('evicted') > 0, 'a refused chunk of slots means that slots are in use');
    }
  }

  private reset(): void {
    this.blocks.releaseAll();
    this.slots.clear();
    this.index.clear();
  }

  private write(
    address: number,
    slot: number,
    key: string,
    hash: number,
    value: string | Uint8Array,
    expiryMs: number,
  ): void {
    const flags = expiryMs === Infinity ? 0 : EXPIRES;
    this.writeHeader(address, slot, key.length, flags, hash >>> 24, value.length, expiryMs);
    const bytes = this.blocks.bytes[blockOf(address)];
    const start = wordOf(address) * 4 + keyOffset(flags);
    bytes.write(key, start, key.length, 'latin1');
    if (typeof value === 'string') bytes.write(value, start + key.length, value.length, 'latin1');
    else bytes.set(value, start + key.length);
  }

  private writeHeader(
    address: number,
    slot: number,
    keyBytes: number,
    flags: number,
    tag: number,
    valueBytes: number,
    expiryMs: number,
  ): void {
    const block = blockOf(address);
    const words = this.blocks.words[block];
    const at = wordOf(address);
    words[at] = slot;
    words[at + 1] = packWord1(keyBytes, flags, tag);
    words[at + 2] = valueBytes;
    if ((flags & EXPIRES) === 0) return;
    words[at + 3] = Math.floor(expiryMs / 2 ** 32);
    words[at + 4] = expiryMs % 2 ** 32;
    if (expiryMs < this.blocks.earliestExpiryMs[block]) this.blocks.earliestExpiryMs[block] = expiryMs;
  }

  private tidy(changedBytes: number): void {
    const { reservedBytes, wasteBytes, isTight } = this.blocks;
    if (isTight ? lacksHoles(reservedBytes, wasteBytes) : !isWasteful(reservedBytes, wasteBytes)) return;
    this.cleaner.step(Math.min(changedBytes * CLEANING_RATIO + LEAST_CLEANING_BYTES, BLOCK_CHARGE_BYTES));
  }

  /** Moves entries out of the last chunk of slots while it pays, and gives the chunk back. */
  private compactSlots(limit: number): boolean {
    const { slots } = this;
    if (!slots.isSparse) return false;
    for (let i = 0; i < limit; i++) {
      const from = slots.lastUsedSlot();
      if (from === NO_SLOT) {
        slots.dropLastChunk();
        return true;
      }
      this.relocate(from, slots.take());
    }
    return true;
  }

  private relocate(from: number, to: number): void {
    const { slots } = this;
    assert(to !== NO_SLOT && to < from, 'a slot moves to a lower chunk');
    const address = slots.address(from);
    slots.setAddress(to, address);
    slots.setChain(to, slots.chain(from));
    this.index.replace(this.hashOfSlot(from), from, to);
    this.list.replace(from, to);
    this.blocks.words[blockOf(address)][wordOf(address)] = to;
    slots.give(from);
  }
}

function keyEquals(bytes: Buffer, start: number, key: string): boolean {
  for (let i = 0; i < key.length; i++) {
    if (bytes[start + i] !== key.charCodeAt(i)) return false;
  }
  return true;
}
