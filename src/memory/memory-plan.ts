import { formatBytes } from '../config/byte-size.ts';
import { type Limits, deriveLimits, frontYoungMb, snapshotReserve } from '../config/memory-shares.ts';
import type { Settings } from '../config/settings.ts';
import { furtherFronts } from '../config/threads.ts';
import { guaranteeFor, maxEntryBytes } from '../shared/segment-sizes.ts';
import { type MemoryLimit, findMemoryLimit, usedBytes } from './probe.ts';

/** What the thread of an empty shard takes at least: 10 MiB were measured. */
const MIN_SHARD_BYTES = 8 * 2 ** 20;
/** What it takes as a rule, and what the loaded HTTP layer takes: 10.8 and 3.5 MiB were measured. */
const SHARD_BYTES = 11 * 2 ** 20;
const APP_BYTES = 4 * 2 ** 20;
/** The same of a further HTTP thread: 22 to 25 MiB were measured. */
const MIN_FRONT_BYTES = 18 * 2 ** 20;
const FRONT_BYTES = 26 * 2 ** 20;

/** The memory limit leaves too little room to keep the promises. The message says what to change. */
export class LimitTooSmallError extends Error {
  override readonly name = 'LimitTooSmallError';
}

/** How the memory limit is shared out under the settings. */
export class MemoryPlan {
  readonly memoryLimit: MemoryLimit;
  /** What a shard must be able to hold, so that it can store the largest entry that is allowed. */
  readonly fullGuaranteeBytes: number;
  private readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
    this.memoryLimit = findMemoryLimit(settings.MEMORY_LIMIT);
    this.fullGuaranteeBytes = guaranteeFor(maxEntryBytes(settings.MAX_KEY_LENGTH, settings.MAX_VALUE_BYTES));
  }

  /** Bytes in use now that count against the limit. */
  usedBytes(): number {
    return usedBytes(this.memoryLimit, process.memoryUsage.rss());
  }

  /** The young generation of each further HTTP thread. */
  get frontYoungMb(): number {
    return frontYoungMb(this.memoryLimit.limitBytes);
  }

  /** What the process uses while it holds no entry: what it uses now, and what further HTTP threads and snapshots may take. */
  baselineBytes(): number {
    return this.usedBytes() + this.growthBytes;
  }

  /**
   * Checks, before threads are started, whether there is room for them: the system would kill the
   * process before they could be measured.
   * @throws LimitTooSmallError
   */
  checkRoomForThreads(): void {
    this.limitsFor(this.usedBytes() + this.threadBytes(MIN_SHARD_BYTES, MIN_FRONT_BYTES));
  }

  /**
   * Checks whether there is room for a server with these settings, without starting one. Other processes in the same
   * container do not count: this is asked beside a server that runs.
   * @returns a warning if a server may start, but not each time.
   * @throws LimitTooSmallError if none can start.
   */
  checkRoomForServer(): string | undefined {
    const { SHARDS, FRONTS } = this.settings;
    const loadedBytes = process.memoryUsage.rss();
    this.limitsFor(loadedBytes + this.threadBytes(MIN_SHARD_BYTES, MIN_FRONT_BYTES));
    if (typeof this.derive(loadedBytes + APP_BYTES + this.threadBytes(SHARD_BYTES, FRONT_BYTES)) !== 'string')
      return undefined;
    const limit = formatBytes(this.memoryLimit.limitBytes);
    const fronts = FRONTS > 1 ? ` and ${FRONTS} HTTP threads` : '';
    return `the memory limit of ${limit} leaves little room for ${SHARDS} shard(s)${fronts}: some starts may fail`;
  }

  /**
   * @param baselineBytes what the process uses before the first entry.
   * @throws LimitTooSmallError
   */
  limitsFor(baselineBytes: number): Limits {
    const derived = this.derive(baselineBytes);
    if (typeof derived === 'string') throw new LimitTooSmallError(derived);
    return derived;
  }

  private threadBytes(shardBytes: number, frontBytes: number): number {
    const { SHARDS, FRONTS } = this.settings;
    return SHARDS * shardBytes + furtherFronts(FRONTS) * frontBytes + this.growthBytes;
  }

  /** The headroom is for the main thread's heap alone. */
  private get growthBytes(): number {
    return (this.settings.FRONTS - 1) * this.frontYoungMb * 2 ** 20 + this.snapshotBytes;
  }

  private get snapshotBytes(): number {
    const { SNAPSHOT_FILE, MAX_KEY_LENGTH, MAX_VALUE_BYTES, SHARDS } = this.settings;
    if (SNAPSHOT_FILE === '') return 0;
    const maxBytes = maxEntryBytes(MAX_KEY_LENGTH, MAX_VALUE_BYTES);
    return snapshotReserve(this.memoryLimit.limitBytes, maxBytes, SHARDS);
  }

  private derive(baselineBytes: number): Limits | string {
    return deriveLimits({
      limitBytes: this.memoryLimit.limitBytes,
      threshold: this.settings.MEMORY_THRESHOLD,
      baselineBytes,
      shards: this.settings.SHARDS,
      fronts: this.settings.FRONTS,
      minGuaranteeBytes: guaranteeFor(0),
      fullGuaranteeBytes: this.fullGuaranteeBytes,
    });
  }
}
