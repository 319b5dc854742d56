import type { ControlChannel } from '../shards/control-channel.ts';

/** The number of the shard that owns the key at these bytes. */
export type ShardNumberAt = (bytes: Uint8Array, start: number, length: number) => number;

/** What of the router snapshots need. */
export interface SnapshotShards {
  readonly isReady: boolean;
  readonly shards: readonly {
    /** Absent while the shard is not up. */
    readonly mailbox: { readonly control: Pick<ControlChannel, 'request'> } | undefined;
  }[];
  readonly shardNumberAt: ShardNumberAt;
}
