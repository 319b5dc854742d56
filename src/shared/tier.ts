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

/** What a shard tells of a node: that it has come or gone, or has refused a request. */
export interface TierNotice {
  readonly shard: number;
  /** `host:port` */
  readonly address: string;
  readonly kind: 'up' | 'gone' | 'refusal';
  /** Why it has gone, or refuses; '' where it has come. */
  readonly reason: string;
}

/** What the log says of a node: `unusable` is one that never was up. */
export type TierChange = TierNotice['kind'] | 'unusable';

/** In this time the log has at most one line about refusals. */
export const REFUSALS_TOLD_EVERY_MS = 60_000;

/** What a shard has counted of its tier, apart from near hits: those are its hits. */
export type TierCounts = Readonly<Record<TierCounterName, number>>;

export interface TierFigures extends TierCounts {
  readonly nodes: readonly TierNode[];
}

export function addressText({ host, port }: TierAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
