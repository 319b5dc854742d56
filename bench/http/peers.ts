import { availableParallelism } from 'node:os';
import { type HttpServer, startNginxMemcached, startOurs, startScript, startWebdis } from '../lib/peers.ts';
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
}

export function peerOf(
  name: string,
  label: string,
  kind: Kind,
  start: Peer['start'],
  dialect: DialectName = 'cache',
): Peer {
  return { name, label, kind, start, dialect };
}

const DEFAULT_SHARDS = Math.min(64, Math.ceil(availableParallelism() / 5));

/** The name of our server with that many shards. */
export function oursWith(shards: number): string {
  return shards === DEFAULT_SHARDS ? 'kvc' : `kvc-${shards}`;
}

function ours(shards: number): Peer {
  const label = `key-value-cache (${shards} shard${shards === 1 ? '' : 's'})`;
  return peerOf(oursWith(shards), label, 'ours', () => startOurs(shards));
}

/** In the order in which they are shown; `kvc` is ours with its default of shards. */
export const PEERS: readonly Peer[] = [
  peerOf('fastify', 'bare Fastify', 'constant', () => startScript('bare-fastify.ts')),
  ours(DEFAULT_SHARDS),
  peerOf('kvc-raw', 'key-value-cache, raw entries', 'ours', () => startOurs(DEFAULT_SHARDS), 'raw'),
  ...[1, 2, 4].filter((shards) => shards !== DEFAULT_SHARDS).map(ours),
  peerOf('fastify-lru', 'Fastify over lru-cache', 'hand-made', () => startScript('fastify-lru.ts')),
  peerOf('webdis', 'webdis + Redis', 'alternative', () => startWebdis(), 'webdis'),
  peerOf('nginx-memcached', 'nginx + memcached', 'alternative', startNginxMemcached, 'memcached'),
];
