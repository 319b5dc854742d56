import { availableParallelism } from 'node:os';
import {
  type HttpServer,
  NGINX_MODULE,
  startNginxMemcached,
  startOurs,
  startScript,
  startWebdis,
} from '../lib/peers.ts';
import type { DialectName } from './requests.ts';

/**
 * `constant` gives constant answers: nothing to load, no value to check. `alternative` is another cache that one could
 * run instead, with more than one event loop: the targets compare with it.
 */
type Kind = 'ours' | 'constant' | 'hand-made' | 'alternative';

/** A server to measure. */
export interface Peer {
  readonly name: string;
  readonly label: string;
  readonly kind: Kind;
  readonly start: () => Promise<HttpServer>;
  readonly dialect: DialectName;
  /** Commands and files that it needs; without them it is left out. */
  readonly needs: readonly string[];
}

/** A peer on Node. */
export function nodePeer(name: string, label: string, kind: Kind, start: Peer['start']): Peer {
  return { name, label, kind, start, dialect: 'cache', needs: [] };
}

const DEFAULT_SHARDS = Math.min(64, Math.max(1, availableParallelism() - 1));

/** The name of our server with that many shards. */
export function oursWith(shards: number): string {
  return shards === DEFAULT_SHARDS ? 'kvc' : `kvc-${shards}`;
}

function ours(shards: number): Peer {
  const label = `key-value-cache (${shards} shard${shards === 1 ? '' : 's'})`;
  return nodePeer(oursWith(shards), label, 'ours', () => startOurs(shards));
}

/** In the order in which they are shown; `kvc` is ours with its default of shards. */
export const PEERS: readonly Peer[] = [
  nodePeer('fastify', 'bare Fastify', 'constant', () => startScript('bare-fastify.ts')),
  ours(DEFAULT_SHARDS),
  ...[1, 2, 4].filter((shards) => shards !== DEFAULT_SHARDS).map(ours),
  nodePeer('fastify-lru', 'Fastify over lru-cache', 'hand-made', () => startScript('fastify-lru.ts')),
  {
    name: 'webdis',
    label: 'webdis + Redis',
    kind: 'alternative',
    start: startWebdis,
    dialect: 'webdis',
    needs: ['webdis', 'redis-server'],
  },
  {
    name: 'nginx-memcached',
    label: 'nginx + memcached',
    kind: 'alternative',
    start: startNginxMemcached,
    dialect: 'memcached',
    needs: ['nginx', 'memcached', NGINX_MODULE],
  },
];
