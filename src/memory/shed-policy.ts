/** What the policy decides by, once per tick. */
export interface Observation {
  readonly usedBytes: number;
  readonly thresholdBytes: number;
  readonly shedFraction: number;
  /** Bytes that each shard holds, less what an empty shard holds. */
  readonly heldBytes: readonly number[];
  /** Memory in use before the first entry. */
  readonly baselineBytes: number;
}

/** The last order that was carried out. */
export interface LastOrder {
  readonly usedBeforeBytes: number;
  readonly heldBeforeBytes: number;
  readonly heldAfterBytes: number;
}

export type Decision =
  | { readonly kind: 'shed'; readonly orders: readonly number[] }
  | { readonly kind: 'wait'; readonly reason: 'below threshold' | 'nothing held' | 'not ours' | 'at floor' };

/** Share of what the cache could hold at the threshold. Memory that is not the cache's cannot push it below that. */
const FLOOR_SHARE = 0.5;
/** An order was effective if used memory fell by at least this share of what the shards gave back. */
const EFFECTIVE_SHARE = 0.5;

/**
 * Decides whether shards shed, and how much each.
 *
 * Above the threshold, shards shed `shedFraction` of what they hold. Two rules keep the cache from paying for memory
 * that is not its own (heap garbage, HTTP buffers, other processes):
 *
 * 1. If used memory did not fall with the last order, another order would not help either. The next one is given only
 *    when the cache holds as much as before it, because then the cache itself may have used the memory.
 * 2. Below half of what the cache could hold at the threshold, no order is given.
 */
export function decideShed(seen: Observation, last: LastOrder | undefined): Decision {
  const held = seen.heldBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (seen.usedBytes <= seen.thresholdBytes) return { kind: 'wait', reason: 'below threshold' };
  if (Math.floor(held * seen.shedFraction) <= 0) return { kind: 'wait', reason: 'nothing held' };
  if (last && held < last.heldBeforeBytes && !wasEffective(seen, held, last)) {
    return { kind: 'wait', reason: 'not ours' };
  }
  if (held <= FLOOR_SHARE * (seen.thresholdBytes - seen.baselineBytes)) {
    return { kind: 'wait', reason: 'at floor' };
  }
  return { kind: 'shed', orders: apportion(Math.floor(held * seen.shedFraction), seen.heldBytes) };
}

/** True if the order made used memory fall. What clients have put since then is subtracted from used memory first. */
function wasEffective(seen: Observation, held: number, last: LastOrder): boolean {
  const givenBack = last.heldBeforeBytes - last.heldAfterBytes;
  const putSince = held - last.heldAfterBytes;
  const fell = last.usedBeforeBytes - (seen.usedBytes - putSince);
  return fell >= givenBack * EFFECTIVE_SHARE;
}

/**
 * Splits `total` in proportion to `weights`, in whole numbers that add up to `total` exactly: each part is rounded
 * down, and what is missing goes, one by one, to the parts with the largest remainders.
 */
export function apportion(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  if (sum <= 0) return weights.map(() => 0);
  const exact = weights.map((weight) => (total * weight) / sum);
  const parts = exact.map(Math.floor);
  const missing = total - parts.reduce((a, b) => a + b, 0);
  const byRemainder = exact
    .map((part, i) => ({ i, remainder: part - Math.floor(part) }))
    .toSorted((a, b) => b.remainder - a.remainder || a.i - b.i);
  for (let n = 0; n < missing; n++) parts[byRemainder[n % byRemainder.length].i]++;
  return parts;
}
