import { assert } from '../../src/shared/assert.ts';
import { guaranteeFor } from '../../src/shared/segment-sizes.ts';
import { NO_ADDRESS } from './block-pool.ts';
import type { Chain } from './chain-table.ts';
import type { Cleaner } from './cleaner.ts';
import { chainIdText, entryFlags } from './entry-codec.ts';
import { CHAIN, CHAIN_ID_BYTES, INCOMPRESSIBLE, NOT_TEXT, VALUE_GZIP, entryBytes } from './entry-layout.ts';
import type { EntryTable, SegmentOptions } from './entry-table.ts';
import type { Eviction } from './eviction.ts';
import { type Metadata, textOf } from './metadata.ts';
import { NO_SLOT } from './slot-table.ts';

/** Writes entries, for which others may have to go. `SegmentStore` says what its methods do. */
export class EntryWriter {
  private readonly options: SegmentOptions;
  private readonly table: EntryTable;
  private readonly eviction: Eviction;
  private readonly cleaner: Cleaner;

  constructor(options: SegmentOptions, table: EntryTable, eviction: Eviction, cleaner: Cleaner) {
    this.options = options;
    this.table = table;
    this.eviction = eviction;
    this.cleaner = cleaner;
  }

  put(key: string, value: string | Uint8Array, ttlMs: number, metadata: Metadata | undefined): boolean {
    const textBytes = metadata === undefined ? 0 : textOf(metadata).length;
    const bytes = entryBytes(entryFlags(ttlMs > 0, metadata), key.length + value.length + textBytes);
    if (guaranteeFor(bytes) > this.options.ledger.guarantee) return false;
    const slot = this.write(key, value, bytes, ttlMs, metadata);
    assert(slot !== NO_SLOT, 'an empty segment has room for any entry it accepts');
    return true;
  }

  putLarge(key: string, chain: Chain, ttlMs: number, metadata: Metadata): boolean {
    const { chains } = this.table;
    const textBytes = textOf(metadata).length;
    const bytes = entryBytes(entryFlags(ttlMs > 0, metadata), key.length + CHAIN_ID_BYTES + textBytes);
    // Before room is made for the entry, so that its value cannot go for that.
    const id = chains.store(chain);
    const slot = this.write(key, chainIdText(id), bytes, ttlMs, metadata);
    if (slot === NO_SLOT) chains.release(id);
    else this.table.codec.addFlag(slot, CHAIN | NOT_TEXT);
    return slot !== NO_SLOT;
  }

  attachGzip(slot: number, gzip: Uint8Array, isOfValue: boolean): void {
    const { codec, blocks } = this.table;
    if (gzip.length === 0) {
      codec.addFlag(slot, INCOMPRESSIBLE);
      return;
    }
    const bytes = codec.bytesWithGzip(slot, gzip.length);
    const bothBytes = bytes + codec.plainBytes(slot);
    const mayEvict = guaranteeFor(bothBytes) <= this.options.ledger.guarantee;
    const to = mayEvict ? this.eviction.allocate(bytes, slot) : blocks.allocate(bytes);
    if (to === NO_ADDRESS) return;
    codec.rewriteWithGzip(slot, to, gzip, isOfValue ? VALUE_GZIP : 0);
    this.cleaner.keepUp(bytes);
  }

  /** Puts an entry of `bytes` in the place of the one that its key has. @returns its slot, NO_SLOT without room. */
  private write(
    key: string,
    value: string | Uint8Array,
    bytes: number,
    ttlMs: number,
    metadata: Metadata | undefined,
  ): number {
    const { table, eviction } = this;
    table.counters.puts++;
    const hash = table.hash(key);
    const old = table.lookup(key, hash);
    const walk = table.list.walk;
    const isNewToWalk = walk === undefined || old === NO_SLOT || walk.isVisited(old);
    if (old !== NO_SLOT) table.remove(old, hash, table.isExpired(old) ? 'expired' : 'replaced');
    eviction.begin();
    eviction.reservePlace();
    eviction.makeDeadBytes(bytes);
    const address = eviction.allocate(bytes);
    if (address === NO_ADDRESS) {
      table.releasePlace();
      return NO_SLOT;
    }
    const slot = eviction.takeSlot();
    const expiryMs = ttlMs > 0 ? Math.ceil(this.options.now() + ttlMs) : Infinity;
    table.codec.write(address, slot, key, hash >>> 24, value, expiryMs, metadata);
    table.insert(hash, slot);
    walk?.add(slot, isNewToWalk);
    this.cleaner.keepUp(bytes);
    return slot;
  }
}
