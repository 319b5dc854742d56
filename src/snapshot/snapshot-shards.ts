import type { ControlChannel } from '../shards/control-channel.ts';

/** What of the router snapshots need. */
export interface SnapshotShards {
  readonly isReady: boolean;
  readonly shards: readonly {
    /** Absent while the shard is not up. */
    readonly mailbox: { readonly control: Pick<ControlChannel, 'request'> } | undefined;
  }[];
  /** The number of the shard that owns a key. */
  readonly shardNumberOf: (key: string) => number;
}
