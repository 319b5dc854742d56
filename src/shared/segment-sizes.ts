/**
 * What a segment takes from the system, in bytes. The shard's thread takes it, and the main thread must know it to
 * share out the memory limit.
 */

/** A little less than 1 MiB, so that a block and the allocator's own header fill whole pages. */
export const BLOCK_BYTES = 2 ** 20 - 64;
/** An entry of this size or more gets a block of its own. In a shared block such entries could waste half of it. */
export const OWN_BLOCK_BYTES = 2 ** 17;
export const SLOT_BYTES = 16;
export const SLOT_CHUNK_BYTES = 2 ** 14 * SLOT_BYTES;
export const INDEX_CHUNK_BYTES = 2 ** 15 * 4;

const PAGE_BYTES = 4096;
const ALLOCATOR_HEADER_BYTES = 64;
/** Limit for each of the four texts of an entry's metadata: its length is stored in one byte. */
export const MAX_METADATA_TEXT_BYTES = 255;
/** An entity tag has this length. */
export const TAG_CHARACTERS = 16;
/** Header, all optional words and padding, and the texts. */
const MAX_ENTRY_OVERHEAD_BYTES = 40 + 4 * MAX_METADATA_TEXT_BYTES + TAG_CHARACTERS;

/** What a block of this capacity adds to the ledger: whole pages. */
export function blockChargeBytes(capacityBytes: number): number {
  return Math.ceil((capacityBytes + ALLOCATOR_HEADER_BYTES) / PAGE_BYTES) * PAGE_BYTES;
}

export const BLOCK_CHARGE_BYTES = blockChargeBytes(BLOCK_BYTES);

/** Held by a segment without entries: its first chunks, and the reserve for cleaning. */
export const EMPTY_SEGMENT_BYTES = SLOT_CHUNK_BYTES + INDEX_CHUNK_BYTES + BLOCK_CHARGE_BYTES;

/** What a segment must be able to hold in order to store an entry that takes `entryBytes` in its block. */
export function guaranteeFor(entryBytes: number): number {
  const ownBlock = entryBytes >= OWN_BLOCK_BYTES ? blockChargeBytes(entryBytes) : 0;
  return EMPTY_SEGMENT_BYTES + BLOCK_CHARGE_BYTES + ownBlock;
}

/** What a large value adds to the ledger, in pieces of a block each. The last one takes what it needs. */
export function chainChargeBytes(bytes: number): number {
  const lastBytes = bytes % BLOCK_BYTES;
  return (
    Math.floor(bytes / BLOCK_BYTES) * BLOCK_CHARGE_BYTES + (lastBytes > 0 ? blockChargeBytes(lastBytes) : 0)
  );
}

/** Bytes of the largest value that a shard can hold. @param maxBytes what a shard may hold: see `Ledger.most`. */
export function maxLargeValueBytes(maxBytes: number): number {
  const pieces = Math.floor((maxBytes - EMPTY_SEGMENT_BYTES - BLOCK_CHARGE_BYTES) / BLOCK_CHARGE_BYTES);
  return Math.max(0, pieces) * BLOCK_BYTES;
}

/** The most that an entry with a key and value of these lengths can take in its block. */
export function maxEntryBytes(keyLength: number, valueBytes: number): number {
  return keyLength + valueBytes + MAX_ENTRY_OVERHEAD_BYTES;
}
