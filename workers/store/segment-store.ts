import { assert } from '../../src/shared/assert.ts';
import { hashKey } from '../../src/shared/key-hash.ts';
import type { Ledger } from '../../src/shared/ledger.ts';
import { BLOCK_CHARGE_BYTES, SLOT_BYTES, guaranteeFor } from '../../src/shared/segment-sizes.ts';
import { BlockPool, NO_ADDRESS } from './block-pool.ts';
import { Cleaner, WASTE_FLOOR_BYTES, isWasteful, lacksHoles } from './cleaner.ts';
import { Coldest } from './coldest.ts';
import { EntryAccess } from './entry-access.ts';
import { INCOMPRESSIBLE, PLAIN, entryBytes } from './entry-layout.ts';
import { ExpirySweep, NOTHING_DUE } from './expiry-sweep.ts';
import { AHEAD_KEYS, ReadAhead } from './read-ahead.ts';
import { HashIndex } from './hash-index.ts';
import { LruList } from './lru-list.ts';
import { checkBlocks, checkList } from './segment-integrity.ts';
import { SegmentMemory } from './segment-memory.ts';
import { NO_SLOT, SlotTable } from './slot-table.ts';

export { AHEAD_KEYS, NOTHING_DUE, NO_SLOT };

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
export type Removal = 'deleted' | 'cleared' | 'replaced' | 'expired' | 'evicted' | 'shed';

export interface SegmentCounters {
  hits: number;
  misses: number;
  puts: number;
  deleted: number;
  cleared: number;
  replaced: number;
  expired: number;
  evicted: number;
  shed: number;
}

/** Work per byte that a PUT or DELETE does for the cleaner: at 85 % live, one byte gained costs seven moved. */
const CLEANING_RATIO = 12;
const LEAST_CLEANING_BYTES = 4096;
/** Near the ceiling a PUT displaces up to this many times its own size, until there are holes enough. */
const TIGHT_DISPLACEMENT_RATIO = 2;
/** But no more than this. With a quarter of it cleaning falls behind, and large values then wait for it. */
const MOST_AHEAD_BYTES = 2 ** 20;
/** A PUT looks at so many for expired ones before it displaces entries that live: two blocks of small entries. */
const MOST_WALKED_ENTRIES = 2 ** 14;
/** And no longer than until it has found some: a block may hold thousands, and removing them all takes milliseconds. */
const WALK_STEP_BYTES = 2 ** 14;
/** Displaced at once, at the least, when the ledger has refused. */
const REFUSED_DISPLACEMENT_BYTES = 2 ** 15;

/**
 * All entries of one shard, in strict least-recently-used order, outside the JavaScript heap. The only face
 * of this folder. Reads and writes cost the same however many entries there are; a write may displace the
 * least recently used entries when the ledger refuses a block, and then costs by how many they are.
 *
 * A slot returned by `find` stays valid until the next call that changes the segment.
 */
export class SegmentStore {
  readonly counters: SegmentCounters = {
    hits: 0,
    misses: 0,
    puts: 0,
    deleted: 0,
    cleared: 0,
    replaced: 0,
    expired: 0,
    evicted: 0,
    shed: 0,
  };
  /** Bytes of the entries that were shed. */
  shedBytes = 0;

  private readonly options: SegmentOptions;
  private readonly seed0: number;
  private readonly seed1: number;
  private readonly memory: SegmentMemory;
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private readonly access: EntryAccess;
  private readonly list: LruList;
  private readonly index: HashIndex;
  private readonly cleaner: Cleaner;
  private readonly sweep: ExpirySweep;
  private readonly ahead: ReadAhead;
  private readonly coldest: Coldest;
  /** A PUT looks for expired entries until so many have been walked in all. */
  private walkStop = 0;
  /** The kind of upkeep that had its turn last. */
  private upkeep = 0;

  constructor(options: SegmentOptions) {
    const { ledger, shard } = options;
    this.options = options;
    this.seed0 = options.seed[0];
    this.seed1 = options.seed[1];
    this.memory = new SegmentMemory(ledger, shard);
    this.blocks = new BlockPool(this.memory);
    this.slots = new SlotTable(this.memory);
    this.access = new EntryAccess(this.blocks, this.slots);
    this.list = new LruList(this.slots);
    const hashOfSlot = (slot: number): number => this.hashOfSlot(slot);
    this.index = new HashIndex(this.slots, hashOfSlot, this.memory);
    this.coldest = new Coldest(this.blocks, this.slots, this.list, this.index, hashOfSlot);
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

  /** Bytes taken from the system: blocks, slots and index, and what has been cleared and is still to go. */
  get reservedBytes(): number {
    const { memory, blocks, slots, index } = this;
    return memory.leftoverBytes + blocks.reservedBytes + slots.reservedBytes + index.reservedBytes;
  }

  /** Bytes of what was cleared and is still to go back. */
  get leftoverBytes(): number {
    return this.memory.leftoverBytes;
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
    return slot !== NO_SLOT && this.access.expiryMs(slot) <= this.options.now() ? NO_SLOT : slot;
  }

  valueBytes(slot: number): number {
    return this.access.valueBytes(slot);
  }

  value(slot: number): string {
    return this.access.value(slot);
  }

  /** The value's bytes where they lie, not a copy: to be read before the next call that changes the segment. */
  valueView(slot: number): Buffer {
    return this.access.valueView(slot);
  }

  /** The gzip form kept beside the value, where there is one: as `valueView`, not a copy. */
  gzipView(slot: number): Buffer | undefined {
    return this.access.gzipView(slot);
  }

  /** True when compression was tried for this entry and saved nothing. */
  isIncompressible(slot: number): boolean {
    return this.access.hasFlag(slot, INCOMPRESSIBLE);
  }

  /** True when `markPlain` was called for this entry. */
  isPlain(slot: number): boolean {
    return this.access.hasFlag(slot, PLAIN);
  }

  /** Remembers that the value stands in JSON as it is, so that nobody looks for what to escape again. */
  markPlain(slot: number): void {
    this.access.addFlag(slot, PLAIN);
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
      const replaced = this.access.expiryMs(old) <= this.options.now() ? 'expired' : 'replaced';
      this.removeHashed(old, hash, replaced);
    }
    this.walkStop = this.sweep.walkedEntries + MOST_WALKED_ENTRIES;
    this.makeRoomInCapacity();
    if (this.blocks.isTight) this.makeHoles(bytes);
    const address = this.allocate(bytes);
    const slot = this.takeSlot();
    const expiryMs = expires ? Math.ceil(this.options.now() + ttlMs) : Infinity;
    this.access.write(address, slot, key, hash >>> 24, value, expiryMs);
    this.list.insertMostRecent(slot);
    this.index.insert(hash, slot);
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

  /** Removes every entry. Its memory goes back step by step, in `maintain`. @returns how many there were. */
  clear(): number {
    const removed = this.slots.used;
    this.counters.cleared += removed;
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
    if (gzip.length === 0) {
      this.access.addFlag(slot, INCOMPRESSIBLE);
      return;
    }
    const bytes = this.access.bytesWith(slot, gzip.length);
    const bothBytes = bytes + this.access.bytesWith(slot, -1);
    const isBounded = guaranteeFor(bothBytes) <= this.options.ledger.guarantee;
    const to = isBounded ? this.allocate(bytes, slot) : this.blocks.allocate(bytes);
    if (to === NO_ADDRESS) return;
    this.access.rewriteWithGzip(slot, to, gzip);
    this.tidy(bytes);
  }

  /**
   * Removes least recently used entries until `wantedBytes` have gone, or a handful of them: see `Coldest`.
   * @returns the bytes in their blocks, 0 when there is no entry.
   */
  removeColdest(wantedBytes: number, reason: 'evicted' | 'shed'): number {
    const { batch, hashes } = this.coldest;
    const count = this.coldest.gather(wantedBytes);
    const nowMs = this.options.now();
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const slot = batch[i];
      const isExpired = this.access.expiryMs(slot) <= nowMs;
      const removed = this.removeHashed(slot, hashes[i], isExpired ? 'expired' : reason);
      if (reason === 'shed' && !isExpired) this.shedBytes += removed;
      bytes += removed;
    }
    return bytes;
  }

  /**
   * Looks for what has expired in about `budgetBytes` of blocks, and removes it.
   * @returns the bytes in their blocks, or NOTHING_DUE when there is nothing to look for.
   */
  removeExpired(budgetBytes: number): number {
    return this.sweep.step(this.options.now(), budgetBytes);
  }

  /** Bytes of blocks that no entry uses. */
  get wasteBytes(): number {
    return this.blocks.wasteBytes;
  }

  /** Gives back a piece of what was cleared. @returns its bytes, 0 when there is none. */
  giveBackLeftover(): number {
    return this.memory.giveBackLeftover();
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
    if (this.giveBackLeftover() > 0) return true;
    const { blocks } = this;
    // In turns: there may always be more of one kind.
    for (let tries = 0; tries < 3; tries++) {
      this.upkeep = (this.upkeep + 1) % 3;
      if (this.upkeep === 0 && this.removeExpired(budgetBytes) !== NOTHING_DUE) return true;
      const isDue = this.upkeep === 1 && isWasteful(blocks.reservedBytes, blocks.wasteBytes);
      if (isDue && this.cleaner.step(budgetBytes)) return true;
      if (this.upkeep === 2 && this.compactSlots(Math.ceil(budgetBytes / 64))) return true;
    }
    return false;
  }

  /** @throws InvariantError when any part of the segment contradicts another. Costs a walk of everything. */
  checkIntegrity(): void {
    checkList(this.list, this.slots, this.index, (slot) => this.hashOfSlot(slot));
    checkBlocks(this.blocks, this.slots);
    const { ledger, shard, entryLedger } = this.options;
    const { memory, blocks, slots, index } = this;
    const charged = memory.leftoverBytes + blocks.chargedBytes + slots.reservedBytes + index.reservedBytes;
    assert(ledger.held(shard) === charged, `the ledger holds ${ledger.held(shard)}, the segment ${charged}`);
    assert(!entryLedger || entryLedger.held(shard) === this.entries, 'the entry ledger counts the entries');
  }

  private hash(key: string): number {
    return hashKey(key, this.seed0, this.seed1);
  }

  private hashOfSlot(slot: number): number {
    return this.hash(this.access.key(slot));
  }

  private lookup(key: string, hash: number): number {
    const { slots, access } = this;
    const tag = hash >>> 24;
    for (let slot = this.index.head(this.index.bucketOf(hash)); slot !== NO_SLOT; slot = slots.chain(slot)) {
      if (access.hasKey(slot, key, tag)) return slot;
    }
    return NO_SLOT;
  }

  private removeIfExpired(slot: number): boolean {
    const atMs = this.access.expiryMs(slot);
    if (atMs === Infinity || atMs > this.options.now()) return false;
    this.remove(slot, 'expired');
    return true;
  }

  private remove(slot: number, reason: Removal): number {
    return this.removeHashed(slot, this.hashOfSlot(slot), reason);
  }

  private removeHashed(slot: number, hash: number, reason: Removal): number {
    const address = this.slots.address(slot);
    this.list.remove(slot);
    this.index.remove(hash, slot);
    this.slots.give(slot);
    const bytes = this.access.free(address);
    this.options.entryLedger?.release(this.options.shard, 1);
    this.counters[reason]++;
    return bytes;
  }

  private makeRoomInCapacity(): void {
    const { entryLedger, shard } = this.options;
    while (entryLedger && !entryLedger.tryReserve(shard, 1)) {
      assert(this.displace(1) > 0, 'every shard may hold one entry');
    }
  }

  /**
   * Makes room, of `wantedBytes` or a part of them: what has expired goes before what lives, as far as this PUT's
   * short look finds it. Not to be called while an address has been allocated and not yet been written: blocks are
   * walked.
   * @returns bytes in their blocks, 0 when there is no entry.
   */
  private displace(wantedBytes: number): number {
    const { sweep } = this;
    const slot = this.list.leastRecent;
    if (slot === NO_SLOT || this.access.expiryMs(slot) <= this.options.now()) {
      return this.removeColdest(1, 'evicted');
    }
    while (sweep.walkedEntries < this.walkStop) {
      const bytes = this.removeExpired(WALK_STEP_BYTES);
      if (bytes > 0) return bytes;
      if (bytes === NOTHING_DUE) break;
    }
    return this.removeColdest(wantedBytes, 'evicted');
  }

  /**
   * Displaces a little ahead of need when the ceiling is near. Entries that were put together but read apart
   * leave holes all over, and cleaning wants a share of them before it gains more than it moves: made in small
   * steps, on the way to the ceiling, no PUT has to wait for all of them.
   */
  private makeHoles(putBytes: number): void {
    let wantedBytes = Math.min(putBytes * TIGHT_DISPLACEMENT_RATIO, MOST_AHEAD_BYTES);
    while (wantedBytes > 0 && lacksHoles(this.blocks.reservedBytes, this.blocks.wasteBytes)) {
      const bytes = this.displace(wantedBytes);
      if (bytes === 0) return;
      wantedBytes -= bytes;
    }
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
      const wantedBytes = Math.max(REFUSED_DISPLACEMENT_BYTES, bytes);
      let displaced = 0;
      while (displaced < wantedBytes) {
        // What was displaced may have been enough.
        if (keep !== NO_SLOT && list.leastRecent === keep) return blocks.allocate(bytes);
        // A sweep might take `keep`, when it has expired.
        const removed =
          keep === NO_SLOT ? this.displace(wantedBytes - displaced) : this.removeColdest(1, 'evicted');
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
      assert(this.removeColdest(1, 'evicted') > 0, 'a refused chunk of slots means that slots are in use');
    }
  }

  private reset(): void {
    this.blocks.clear();
    this.slots.clear();
    this.index.clear();
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
    this.access.setSlot(address, to);
    slots.give(from);
  }
}
