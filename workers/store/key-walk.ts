import type { EntryTable } from './entry-table.ts';
import { NO_SLOT } from './slot-table.ts';

/** Some of the keys, and where the walk goes on; without a cursor, it is over. */
export interface KeyPage {
  readonly keys: string[];
  readonly cursor?: number;
}

/** Where a walk begins. */
export const FIRST_CURSOR = 0;

/**
 * Walks the index a few buckets at a time, and lists the keys with a prefix. The cursor is the hash at which the walk goes
 * on. The walk follows the hashes in the order of their bits read backwards: in this order the index splits and joins its
 * buckets. So an entry that exists during the whole walk is listed, even if the index grows, shrinks or moves entries
 * meanwhile. After the index has shrunk, some keys may come twice. (The walk of Redis' SCAN, by Pieter Noordhuis.)
 *
 * @param isOver asked after each bucket.
 */
export function walkKeys(
  table: EntryTable,
  prefix: string,
  cursor: number,
  isOver: (keys: number) => boolean,
): KeyPage {
  const { index, slots, codec } = table;
  const keys: string[] = [];
  let at = cursor;
  do {
    const bucket = index.bucketOf(at);
    for (let slot = index.head(bucket); slot !== NO_SLOT; slot = slots.chain(slot)) {
      const key = codec.key(slot);
      if (key.startsWith(prefix) && !table.isExpired(slot)) keys.push(key);
    }
    at = nextOf(at, index.maskOf(bucket));
    if (at === FIRST_CURSOR) return { keys };
  } while (!isOver(keys.length));
  return { keys, cursor: at };
}

/** Adds one to the bits of the mask, read backwards: the highest bit counts as the lowest. @returns 0 after the last of them. */
function nextOf(hash: number, mask: number): number {
  let next = hash & mask;
  let bit = mask ^ (mask >>> 1);
  for (; (next & bit) !== 0; bit >>>= 1) next ^= bit;
  return (next | bit) >>> 0;
}
