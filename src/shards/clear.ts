import { CLEARED, OVERDUE } from '../shared/protocol.ts';

/** The number of removed entries, or the reply code of a shard that failed. */
export type Cleared = { readonly removed: number } | { readonly failed: number };

/**
 * Empties all shards. The first one empties the engine behind them, if there is one. Then the others drop their copies.
 * @param clear empties one shard.
 * @param waits how often a first shard that has not ended in time is asked again: it goes on, and answers at its end.
 */
export async function clearAll<Shard>(
  [first, ...others]: readonly Shard[],
  clear: (shard: Shard) => Promise<{ readonly code: number; readonly removed: number }>,
  waits: number,
): Promise<Cleared> {
  let cleared = await clear(first);
  for (let waited = 0; cleared.code === OVERDUE && waited < waits; waited++) cleared = await clear(first);
  const replies = [cleared, ...(await Promise.all(others.map((shard) => clear(shard))))];
  const failed = replies.find(({ code }) => code !== CLEARED);
  if (failed) return { failed: failed.code };
  return { removed: replies.reduce((sum, { removed }) => sum + removed, 0) };
}
