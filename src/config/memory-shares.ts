import { formatBytes } from './byte-size.ts';

/**
 * How the memory limit is shared out. All are shares of resident memory, from the bottom:
 *
 *     0 ──── baseline ────────────── threshold ───────── ceiling ──── headroom ──── hard ──────── limit
 *            the process, empty      above: shed 10 %    blocks, slots and index    heap, HTTP buffers
 *                                                        never reach further
 *
 * `hard` lies halfway between threshold and limit. The headroom under it is what the process may come to
 * need beyond its baseline without crossing it; it is never so large that the ceiling would lie below the
 * threshold, since below that nothing may be evicted.
 */
export interface Limits {
  readonly limitBytes: number;
  readonly thresholdBytes: number;
  /** Most bytes that all shards together may reserve. */
  readonly ceilingBytes: number;
  /** How far the ceiling lies above the threshold: nearer to it than that nothing may be evicted. */
  readonly marginBytes: number;
  /** What each shard may reserve however much the others have. */
  readonly guaranteeBytes: number;
}

const MOST_HEADROOM_BYTES = 512 * 2 ** 20;
/** Of the headroom, the part that bodies on their way may take; each is copied a few times on that way. */
const TRAFFIC_SHARE = 1 / 8;

/** And the part that bodies may take which have come before anybody could read them; they are not copied. */
const UNREAD_SHARE = 1 / 2;
/** And the part that small answers may take which cannot leave yet. */
const HELD_SHARE = 3 / 16;

/**
 * What the buffers of a TLS connection take that rests, or is about to begin: 55 KiB were measured. All of them together
 * may take as much as the headroom, beyond it: `hard` lies further from the limit than that.
 */
const TLS_CONNECTION_BYTES = 2 ** 16;

/** What bodies on their way through the process may take, in bytes. */
export interface TrafficLimits {
  readonly bodyBudgetBytes: number;
  readonly unreadBytes: number;
  readonly heldBytes: number;
  readonly mostTlsConnections: number;
  /** Per shard. */
  readonly replyWindowBytes: number;
  /** Large bodies and replies of this many bytes in all, and their garbage is collected. */
  readonly collectEveryBytes: number;
}

const MOST_COLLECTION_BYTES = 4 * 2 ** 20;
/** Of the headroom, what may become garbage before it is collected: what V8 holds on to is many times as much. */
const COLLECTION_SHARE = 1 / 32;

function headroomBytes(limitBytes: number, threshold: number): number {
  return Math.min((limitBytes * (1 - threshold)) / 3, MOST_HEADROOM_BYTES);
}

export function deriveTrafficLimits(limitBytes: number, threshold: number, shards: number): TrafficLimits {
  const headroom = headroomBytes(limitBytes, threshold);
  const bytes = Math.floor(headroom * TRAFFIC_SHARE);
  return {
    bodyBudgetBytes: bytes,
    unreadBytes: Math.floor(headroom * UNREAD_SHARE),
    heldBytes: Math.floor(headroom * HELD_SHARE),
    mostTlsConnections: Math.floor(headroom / TLS_CONNECTION_BYTES),
    replyWindowBytes: Math.floor(bytes / shards),
    collectEveryBytes: Math.min(Math.floor(headroom * COLLECTION_SHARE), MOST_COLLECTION_BYTES),
  };
}

/** From here on memory is not short: what one process takes beside its entries is little of it. */
const LARGE_LIMIT_BYTES = 2 * 2 ** 30;
const LEAST_OLD_SPACE_MB = 64;

/**
 * Garbage collection must be there to be called. What is young and alive is next to nothing here, so that waking
 * helpers for it, and waiting for them, takes longer than doing it alone.
 */
const COLLECTOR_FLAGS = ['--expose-gc', '--no-parallel-scavenge'];

/**
 * How the collector is set up. The main thread's heap is kept small where the limit is: V8 would let its young
 * generation alone take 48 MiB, and its old one as much as the limit.
 */
export function heapFlags(limitBytes: number): string[] {
  if (limitBytes >= LARGE_LIMIT_BYTES) return COLLECTOR_FLAGS;
  const limitMb = limitBytes / 2 ** 20;
  const semiSpaceMb = Math.max(1, Math.round(limitMb / 128));
  const oldSpaceMb = Math.max(LEAST_OLD_SPACE_MB, Math.round(limitMb / 4));
  return [...COLLECTOR_FLAGS, `--max-semi-space-size=${semiSpaceMb}`, `--max-old-space-size=${oldSpaceMb}`];
}

const MMAP_THRESHOLD_BYTES = 2 ** 17;
const LEAST_MMAP_THRESHOLD_BYTES = 2 ** 14;

/**
 * From how many bytes on the allocator is to map memory on its own: all blocks. Where the limit is low, the buffers
 * that threads hand to each other, too: freed by a thread that has not made them they would go back to its arena,
 * and stay resident.
 */
export function mmapThresholdBytes(limitBytes: number): number {
  return limitBytes < LARGE_LIMIT_BYTES ? LEAST_MMAP_THRESHOLD_BYTES : MMAP_THRESHOLD_BYTES;
}

export interface LimitInputs {
  readonly limitBytes: number;
  readonly threshold: number;
  readonly baselineBytes: number;
  readonly shards: number;
  /** What a shard needs at the least, and to store the largest entry that is allowed. */
  readonly leastGuaranteeBytes: number;
  readonly fullGuaranteeBytes: number;
}

/** @returns the limits, or a line that says why the process cannot keep its promises in so little memory. */
export function deriveLimits(inputs: LimitInputs): Limits | string {
  const { limitBytes, threshold, baselineBytes, shards, leastGuaranteeBytes, fullGuaranteeBytes } = inputs;
  const thresholdBytes = Math.floor(limitBytes * threshold);
  const hardBytes = thresholdBytes + (limitBytes - thresholdBytes) / 2;
  const ceilingBytes = Math.floor(hardBytes - headroomBytes(limitBytes, threshold) - baselineBytes);
  // Below the threshold there must be room, too, or memory that is not the cache's would have it shed empty.
  const roomBytes = Math.min(ceilingBytes, thresholdBytes - baselineBytes);
  if (roomBytes < leastGuaranteeBytes * shards) {
    const missing = leastGuaranteeBytes * shards - roomBytes;
    return (
      `the memory limit of ${formatBytes(limitBytes)} is too small: the empty process takes ` +
      `${formatBytes(baselineBytes)}, and ${shards} shard(s) need ${formatBytes(missing)} more than is left; ` +
      'raise MEMORY_LIMIT, the container limit or MEMORY_THRESHOLD, or lower SHARDS'
    );
  }
  return {
    limitBytes,
    thresholdBytes,
    ceilingBytes,
    marginBytes: Math.max(0, baselineBytes + ceilingBytes - thresholdBytes),
    guaranteeBytes: Math.min(fullGuaranteeBytes, Math.floor(ceilingBytes / shards)),
  };
}
