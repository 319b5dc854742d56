import { CLEARED, OVERDUE, type Payload, decodeU32 } from '../shared/protocol.ts';
import type { PendingRequest } from './pending-requests.ts';

/** The number of removed entries, or the reply code of a shard that failed. */
export type Cleared = { readonly removed: number } | { readonly failed: number };

export interface ClearReply {
  readonly code: number;
  readonly removed: number;
}

/** @param send sends the order to the shard. */
export function clearShard(send: (pending: PendingRequest) => void): Promise<ClearReply> {
  return new Promise((resolve) => {
    const settle = (code: number, payload: Payload): void => {
      const removed = code === CLEARED && typeof payload === 'string' ? decodeU32(payload, 0) : 0;
      resolve({ code, removed });
    };
    send({ connection: undefined, settle });
  });
}

/**
 * Empties all shards, and all at once: what its client asks behind it finds none of the entries.
 * @param clear empties one shard.
 */
export async function clearAll<Shard>(
  shards: readonly Shard[],
  clear: (shard: Shard) => Promise<ClearReply>,
): Promise<Cleared> {
  return sumOf(await Promise.all(shards.map((shard) => clear(shard))));
}

/**
 * Empties the engine behind the shards, through the first of them. Then the others drop their copies.
 * @param waits how often the first shard is asked again if it has not ended in time: it goes on, and answers at its end.
 */
export async function clearThroughTier<Shard>(
  [first, ...others]: readonly Shard[],
  clear: (shard: Shard) => Promise<ClearReply>,
  waits: number,
): Promise<Cleared> {
  let cleared = await clear(first);
  for (let waited = 0; cleared.code === OVERDUE && waited < waits; waited++) cleared = await clear(first);
  return sumOf([cleared, ...(await Promise.all(others.map((shard) => clear(shard))))]);
}

function sumOf(replies: readonly ClearReply[]): Cleared {
  const failed = replies.find(({ code }) => code !== CLEARED);
  if (failed) return { failed: failed.code };
  return { removed: replies.reduce((sum, { removed }) => sum + removed, 0) };
}
