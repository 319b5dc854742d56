import type { DoorbellBuffers } from './doorbell.ts';
import type { TierStart } from './tier.ts';

/** Everything a shard needs to start, given to it in Piscina's task. */
export interface ShardStart {
  readonly shard: number;
  readonly ledger: SharedArrayBuffer;
  readonly ledgerUnitBytes: number;
  readonly entryLedger: SharedArrayBuffer | undefined;
  readonly seed: readonly [number, number];
  /** Of the entity tags of short values: the same for all shards, and after a restart with a snapshot. No client may know it. */
  readonly tagSeed: readonly [number, number];
  readonly doorbell: DoorbellBuffers;
  /** Whether the shard may busy-wait for the next request of a lone client. */
  readonly pollsForRequests: boolean;
  /** Longer bodies are compressed for clients that accept it; 0 turns compression off. */
  readonly gzipThresholdBytes: number;
  /** Bytes of large replies that are on their way to clients: an `Int32Array` with a cell per shard. */
  readonly replyCells: SharedArrayBuffer;
  /** Bytes of large replies that each shard may have on their way at once. */
  readonly replyWindowBytes: number;
  readonly deadlineMs: number;
  /** The engine whose near cache the shard is; absent where it holds the entries themselves. */
  readonly tier?: TierStart | undefined;
  /** Whether the shard checks its whole segment now and then, to find an error. Each check takes long. */
  readonly checksIntegrity: boolean;
}
