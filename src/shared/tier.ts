import type { TierCounterName } from './stats-counters.ts';

/** Where the engine behind the shards is, and how it is spoken to: given to a shard when it starts. */
export interface TierStart {
  /** The first addresses. Those of a cluster's other nodes are learned from these. */
  readonly nodes: readonly TierAddress[];
  readonly isTls: boolean;
  /** '' for none. */
  readonly username: string;
  readonly password: string;
  readonly database: number;
  /** What a read gets that needs the engine while it is gone. */
  readonly whenUnavailable: '503' | 'miss';
  /** The `BroadcastChannel` on which shards tell of changes. */
  readonly channel: string;
}

export interface TierAddress {
  readonly host: string;
  readonly port: number;
}

/** A node of the engine, as one shard sees it. */
export interface TierNode {
  /** `host:port` */
  readonly address: string;
  readonly isUp: boolean;
}

/** A node has come or gone for a shard. */
export interface TierChange extends TierNode {
  readonly shard: number;
  /** Why it has gone; '' where it has come. */
  readonly reason: string;
}

/** What a shard has counted of its tier, apart from near hits: those are its hits. */
export type TierCounts = Readonly<Record<TierCounterName, number>>;

export interface TierFigures extends TierCounts {
  readonly nodes: readonly TierNode[];
}

export function addressText({ host, port }: TierAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
