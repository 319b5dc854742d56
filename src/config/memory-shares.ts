import { BLOCK_BYTES } from '../shared/segment-sizes.ts';
import { formatBytes } from './byte-size.ts';

/**
 * How the memory limit is shared out. All are shares of resident memory, from the bottom:
 *
 *     0 ──── baseline ────────────── threshold ───────── ceiling ──── headroom ──── hard ──────── limit
 *            the process, empty      above: shed 10 %    blocks, slots and index    heap, HTTP buffers
 *                                                        never reach further
 *
 * `hard` lies halfway between threshold and limit. The headroom is what the process may need beyond its baseline without
 * crossing `hard`. It is never so large that the ceiling would lie below the threshold, since below the threshold nothing
 * may be evicted.
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

const MAX_HEADROOM_BYTES = 512 * 2 ** 20;
/** Share of the headroom for request bodies; large replies may take as much again. Each is copied a few times. */
const TRAFFIC_SHARE = 1 / 8;
/** Share of the headroom for bytes of bodies that have arrived and are not read yet. They are not copied. */
const UNREAD_SHARE = 1 / 2;
/** Share of the headroom for small answers that cannot be sent yet. */
const UNSENT_SHARE = 3 / 16;

/**
 * Memory for the buffers of one TLS connection that is idle or in its handshake: 55 KiB were measured. All TLS connections
 * together may take as much as the headroom, in addition to it: the distance from `hard` to the limit is larger than that.
 */
const TLS_CONNECTION_BYTES = 2 ** 16;

/** What bodies on their way through one HTTP thread may take, in bytes. */
export interface TrafficLimits {
  readonly bodyBudgetBytes: number;
  readonly unreadBytes: number;
  readonly unsentBytes: number;
  readonly maxTlsConnections: number;
  /** Of one shard, for all HTTP threads. */
  readonly replyWindowBytes: number;
  /** The garbage of large bodies and replies is collected each time that it reaches this many bytes. */
  readonly collectEveryBytes: number;
}

const MAX_COLLECTION_BYTES = 4 * 2 ** 20;
/** Share of the headroom that may become garbage before it is collected. V8 then holds many times as much. */
const COLLECTION_SHARE = 1 / 32;

function headroomBytes(limitBytes: number, threshold: number): number {
  return Math.min((limitBytes * (1 - threshold)) / 3, MAX_HEADROOM_BYTES);
}

/** @param fronts HTTP threads: each has the same share. */
export function deriveTrafficLimits(
  limitBytes: number,
  threshold: number,
  shards: number,
  fronts = 1,
): TrafficLimits {
  const headroom = headroomBytes(limitBytes, threshold);
  const share = headroom / fronts;
  return {
    bodyBudgetBytes: Math.floor(share * TRAFFIC_SHARE),
    unreadBytes: Math.floor(share * UNREAD_SHARE),
    unsentBytes: Math.floor(share * UNSENT_SHARE),
    maxTlsConnections: Math.floor(share / TLS_CONNECTION_BYTES),
    replyWindowBytes: Math.floor((headroom * TRAFFIC_SHARE) / shards),
    collectEveryBytes: Math.floor(Math.min(headroom * COLLECTION_SHARE, MAX_COLLECTION_BYTES) / fronts),
  };
}

/** From here on memory is not short: what one process takes beside its entries is little of it. */
const LARGE_LIMIT_BYTES = 2 * 2 ** 30;
const MIN_OLD_SPACE_MB = 64;

/**
 * The server calls the collector itself, which needs `--expose-gc`. A minor collection finds hardly any live objects
 * here. So one thread does it faster than several, which must first be woken and then waited for.
 */
const COLLECTOR_FLAGS = ['--expose-gc', '--no-parallel-scavenge'];

/**
 * V8's flags for the heap. When the memory limit is low, the main thread gets a small heap. By default, V8's young
 * generation alone may take 48 MiB, and the old generation as much as the limit.
 */
export function heapFlags(limitBytes: number): string[] {
  if (limitBytes >= LARGE_LIMIT_BYTES) return COLLECTOR_FLAGS;
  const oldSpaceMb = Math.max(MIN_OLD_SPACE_MB, Math.round(limitBytes / 2 ** 20 / 4));
  const semiSpace = `--max-semi-space-size=${semiSpaceMb(limitBytes)}`;
  return [...COLLECTOR_FLAGS, semiSpace, `--max-old-space-size=${oldSpaceMb}`];
}

function semiSpaceMb(limitBytes: number): number {
  return Math.max(1, Math.round(limitBytes / 2 ** 20 / 128));
}

/** Of a further HTTP thread where memory is not short. V8's own default is 16 MiB. */
const FRONT_SEMI_SPACE_MB = 8;
/** V8 divides its young generation into three of them. */
const SEMI_SPACES = 3;

/** The young generation of a further HTTP thread: under load its heap grows by that much. V8's flags hold for all threads. */
export function frontYoungMb(limitBytes: number): number {
  return SEMI_SPACES * (limitBytes < LARGE_LIMIT_BYTES ? semiSpaceMb(limitBytes) : FRONT_SEMI_SPACE_MB);
}

const MMAP_THRESHOLD_BYTES = 2 ** 17;
const MIN_MMAP_THRESHOLD_BYTES = 2 ** 14;

/**
 * Buffers of this size or more are mapped one by one (`mmap`), so that their memory goes back to the system when they are
 * freed. All blocks are that large. With a low memory limit, the buffers that threads hand to each other count as well:
 * if they came from the arena of one thread and were freed by another, they would stay resident.
 */
export function mmapThresholdBytes(limitBytes: number): number {
  return limitBytes < LARGE_LIMIT_BYTES ? MIN_MMAP_THRESHOLD_BYTES : MMAP_THRESHOLD_BYTES;
}

/** Sections of a snapshot in memory at once: being made, being written, and about to be made into another. */
const SNAPSHOT_SECTIONS = 3;
/** While a snapshot is read, each shard remembers the keys that must not come back from it: at most this many bytes. */
const GONE_BYTES = 2 ** 20;
/** Each shard has a filter then, which tells keys that are new. */
const FILTER_BYTES = 2 ** 20;
/** A snapshot takes a bit for each slot. An entry takes at least this many bytes, its slot included. */
const MIN_ENTRY_BYTES = 32;

/** What a snapshot may take beside the entries: it is not left to them. */
export function snapshotReserve(limitBytes: number, maxEntryBytes: number, shards: number): number {
  const sectionBytes = Math.max(BLOCK_BYTES, maxEntryBytes);
  const shardBytes = GONE_BYTES + FILTER_BYTES;
  return Math.ceil(SNAPSHOT_SECTIONS * sectionBytes + shards * shardBytes + limitBytes / MIN_ENTRY_BYTES / 8);
}

export interface LimitInputs {
  readonly limitBytes: number;
  readonly threshold: number;
  readonly baselineBytes: number;
  readonly shards: number;
  readonly fronts: number;
  /** What a shard needs at the least, and to store the largest entry that is allowed. */
  readonly minGuaranteeBytes: number;
  readonly fullGuaranteeBytes: number;
}

/** @returns the limits, or a line that says why the process cannot keep its promises in so little memory. */
export function deriveLimits(inputs: LimitInputs): Limits | string {
  const { limitBytes, threshold, baselineBytes, shards, fronts } = inputs;
  const { minGuaranteeBytes, fullGuaranteeBytes } = inputs;
  const thresholdBytes = Math.floor(limitBytes * threshold);
  const hardBytes = thresholdBytes + (limitBytes - thresholdBytes) / 2;
  const ceilingBytes = Math.floor(hardBytes - headroomBytes(limitBytes, threshold) - baselineBytes);
  // There must be room below the threshold, too. Otherwise other memory would make the cache shed all that it holds.
  const roomBytes = Math.min(ceilingBytes, thresholdBytes - baselineBytes);
  if (roomBytes < minGuaranteeBytes * shards) {
    const missing = minGuaranteeBytes * shards - roomBytes;
    const orFronts = fronts > 1 ? ' or FRONTS' : '';
    return (
      `the memory limit of ${formatBytes(limitBytes)} is too small: the empty process takes ` +
      `${formatBytes(baselineBytes)}, and ${shards} shard(s) need ${formatBytes(missing)} more than is left; ` +
      `raise MEMORY_LIMIT, the container limit or MEMORY_THRESHOLD, or lower SHARDS${orFronts}`
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
