/** What the policy looks at, once per tick. */
export interface Observation {
  readonly usedBytes: number;
  readonly thresholdBytes: number;
  readonly shedFraction: number;
  /** Bytes each shard holds beyond what an empty one does. */
  readonly heldBytes: readonly number[];
  /** Used memory that was there before the first entry. */
  readonly baselineBytes: number;
}

/** What the policy remembers of the last order that was carried out. */
export interface LastOrder {
  readonly usedBeforeBytes: number;
  readonly heldBeforeBytes: number;
  readonly heldAfterBytes: number;
}

export type Decision =
  | { readonly kind: 'shed'; readonly orders: readonly number[] }
  | { readonly kind: 'wait'; readonly reason: 'below threshold' | 'nothing held' | 'not ours' | 'at floor' };

/** Of what the cache might hold at the threshold, the share that memory of others may not take from it. */
const FLOOR_SHARE = 0.5;
/** Of what an order gave back, the share by which used memory must have fallen for another one to follow. */
const EFFECTIVE_SHARE = 0.5;

/**
 * Decides whether shards are to shed, and how much each.
 *
 * Over the threshold, `shedFraction` of what is held goes. Two rules keep the cache from paying for memory
 * that is not its own (heap garbage, HTTP buffers, neighbours):
 *
 * 1. When used memory did not follow the last order down, another one would not help either. The next is
 *    given only when the cache has grown back to what it held before, so that the growth may be its own.
 * 2. Below half of what it could hold at the threshold, nothing more is shed on order.
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

/** True when used memory fell by enough of what the order gave back; what was put since is allowed for. */
function wasEffective(seen: Observation, held: number, last: LastOrder): boolean {
  const givenBack = last.heldBeforeBytes - last.heldAfterBytes;
  const putSince = held - last.heldAfterBytes;
  const fell = last.usedBeforeBytes - (seen.usedBytes - putSince);
  return fell >= givenBack * EFFECTIVE_SHARE;
}

/**
 * Splits `total` in proportion to `weights`, in whole numbers that add up to it exactly: each part rounded
 * down, and what is missing given one by one to the largest remainders.
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
