import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { onPath } from '../../lib/process.ts';
import { FASTAPI, NGINX_MEMCACHED, WEBDIS } from './installed-peers.ts';
import {
  BARE_FASTIFY,
  BARE_NODE_HTTP,
  FASTIFY_LRU,
  FASTIFY_LRU_COMPRESS,
  keyValueCache,
} from './node-peers.ts';
import type { Peer } from './peer.ts';

const DEFAULT_SHARDS = Math.min(64, Math.max(1, availableParallelism() - 1));

/**
 * Every server of the suite, in the order they are shown; the main one is ours with its default of shards. Bare Fastify
 * stands beside it, since it is compared with it most.
 */
export const ALL_PEERS: readonly Peer[] = [
  BARE_NODE_HTTP,
  BARE_FASTIFY,
  keyValueCache({
    name: 'kvc',
    label: `key-value-cache (${shards(DEFAULT_SHARDS)})`,
    shards: DEFAULT_SHARDS,
  }),
  ...[1, 2, 4]
    .filter((count) => count !== DEFAULT_SHARDS)
    .map((count) =>
      keyValueCache({ name: `kvc-${count}`, label: `key-value-cache (${shards(count)})`, shards: count }),
    ),
  FASTIFY_LRU,
  FASTIFY_LRU_COMPRESS,
  WEBDIS,
  NGINX_MEMCACHED,
  FASTAPI,
];

/** The name under which our server with that many shards is measured. */
export function shardedPeerName(count: number): string {
  return count === DEFAULT_SHARDS ? 'kvc' : `kvc-${count}`;
}

/** Commands a peer needs that are not here. */
export function missingFor(peer: Peer): string[] {
  return peer.needs.filter((need) => (need.endsWith('.so') ? !existsSync(need) : !onPath(need)));
}

function shards(count: number): string {
  return `${count} shard${count === 1 ? '' : 's'}`;
}
