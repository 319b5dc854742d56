import { assert } from '../../src/shared/assert.ts';
import { hashKey, hashKeyBytes } from '../../src/shared/key-hash.ts';
import type { Ledger } from '../../src/shared/ledger.ts';
import { BlockPool } from './block-pool.ts';
import { type Chain, ChainTable } from './chain-table.ts';
import { EntryCodec } from './entry-codec.ts';
import { HashIndex } from './hash-index.ts';
import { LruList } from './lru-list.ts';
import type { Removal, Restoring } from './restoring.ts';
import { SegmentMemory } from './segment-memory.ts';
import { NO_SLOT, SlotTable } from './slot-table.ts';

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

export interface SegmentCounters extends Record<Removal, number> {
  hits: number;
  misses: number;
  puts: number;
}

/**
 * The entries of one segment, and the parts that hold them together: a slot, a place in the list of use and in the
 * index, and bytes in a block. An entry comes in by `insert`. It goes by `remove`, or with all others by `clear`.
 */
export class EntryTable {
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
  readonly memory: SegmentMemory;
  readonly blocks: BlockPool;
  readonly slots: SlotTable;
  readonly codec: EntryCodec;
  readonly chains: ChainTable;
  readonly list: LruList;
  readonly index: HashIndex;
  /** While a snapshot is read. */
  restoring: Restoring | undefined;
  readonly hashOfSlot = (slot: number): number => this.hash(this.codec.key(slot));

  private readonly options: SegmentOptions;
  private readonly seed0: number;
  private readonly seed1: number;

  constructor(options: SegmentOptions) {
    this.options = options;
    this.seed0 = options.seed[0];
    this.seed1 = options.seed[1];
    this.memory = new SegmentMemory(options.ledger, options.shard);
    this.blocks = new BlockPool(this.memory);
    this.slots = new SlotTable(this.memory);
    this.chains = new ChainTable(this.memory);
    this.codec = new EntryCodec(this.blocks, this.slots, this.chains);
    this.list = new LruList(this.slots);
    this.index = new HashIndex(this.slots, this.hashOfSlot, this.memory);
  }

  get count(): number {
    return this.slots.used;
  }

  hash(key: string): number {
    return hashKey(key, this.seed0, this.seed1);
  }

  /** As `hash`, of a key that lies in a buffer. */
  hashBytes(bytes: Uint8Array, start: number, length: number): number {
    return hashKeyBytes(bytes, start, length, this.seed0, this.seed1);
  }

  /** False where there is no entry with a key of this length and hash, expired or not. */
  mayHave(keyBytes: number, hash: number): boolean {
    const { slots, codec } = this;
    const check = hash >>> 24;
    for (let slot = this.index.head(this.index.bucketOf(hash)); slot !== NO_SLOT; slot = slots.chain(slot)) {
      if (codec.mayHaveKey(slot, keyBytes, check)) return true;
    }
    return false;
  }

  /** The slot of a key, expired or not; NO_SLOT where there is none. */
  lookup(key: string, hash: number): number {
    const { slots, codec } = this;
    const check = hash >>> 24;
    for (let slot = this.index.head(this.index.bucketOf(hash)); slot !== NO_SLOT; slot = slots.chain(slot)) {
      if (codec.hasKey(slot, key, check)) return slot;
    }
    return NO_SLOT;
  }

  isExpired(slot: number): boolean {
    const expiryMs = this.codec.expiryMs(slot);
    return expiryMs !== Infinity && expiryMs <= this.options.now();
  }

  /** The chain of an entry, undefined where its value lies in its block. */
  chainOf(slot: number): Chain | undefined {
    return this.codec.chainOf(slot);
  }

  /** Makes the entry that was written at a slot's address the most recently used, and findable. */
  insert(hash: number, slot: number): void {
    this.list.insertMostRecent(slot);
    this.index.insert(hash, slot);
    this.restoring?.insert(hash);
  }

  /** The same, but makes it the least recently used. */
  insertLeastRecent(hash: number, slot: number): void {
    this.list.insertLeastRecent(slot);
    this.index.insert(hash, slot);
    this.restoring?.insert(hash);
  }

  /** @returns the bytes that the entry had in its block, and those of its chain unless they are being read. */
  remove(slot: number, hash: number, reason: Removal): number {
    const address = this.slots.address(slot);
    const chainId = this.codec.chainId(slot);
    const chainBytes = chainId < 0 ? 0 : this.chains.release(chainId);
    this.restoring?.remove(this.codec.key(slot), hash, reason);
    this.list.remove(slot);
    this.list.walk?.remove(slot);
    this.index.remove(hash, slot);
    this.slots.give(slot);
    const bytes = this.codec.free(address);
    this.releasePlace();
    this.counters[reason]++;
    return bytes + chainBytes;
  }

  /** Takes one place under the capacity. @returns false when none is left. */
  tryReservePlace(): boolean {
    const { entryLedger, shard } = this.options;
    return !entryLedger || entryLedger.tryReserve(shard, 1);
  }

  /** Gives back a place that no entry has taken. */
  releasePlace(): void {
    const { entryLedger, shard } = this.options;
    entryLedger?.release(shard, 1);
  }

  /** Removes every entry. The memory goes back later, step by step. */
  clear(): void {
    const { entryLedger, shard } = this.options;
    this.counters.cleared += this.count;
    entryLedger?.release(shard, this.count);
    this.restoring?.close();
    this.chains.clear();
    this.reset();
  }

  /** Gives all memory back. To be called when there is no entry. */
  reset(): void {
    this.blocks.clear();
    this.list.clear();
    this.slots.clear();
    this.index.clear();
  }

  /** Bytes taken from the system, cleared ones that have not gone back yet included. */
  get reservedBytes(): number {
    const { memory, blocks, slots, index, chains } = this;
    const tables = slots.reservedBytes + index.reservedBytes;
    return memory.leftoverBytes + blocks.reservedBytes + chains.reservedBytes + tables;
  }

  /** @throws InvariantError when the ledgers do not hold what the parts hold. */
  checkLedgers(): void {
    const { ledger, shard, entryLedger } = this.options;
    const { memory, blocks, slots, index, chains } = this;
    const tables = slots.reservedBytes + index.reservedBytes;
    const charged = memory.leftoverBytes + blocks.chargedBytes + chains.reservedBytes + tables;
    assert(ledger.held(shard) === charged, `the ledger holds ${ledger.held(shard)}, the segment ${charged}`);
    assert(!entryLedger || entryLedger.held(shard) === this.count, 'the entry ledger counts the entries');
  }
}
