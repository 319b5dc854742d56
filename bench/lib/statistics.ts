/** The q-quantile (0 ≤ q ≤ 1), interpolated between neighbours; NaN for no values. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  return below + (above - below) * (position - Math.floor(position));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Every second round runs backwards, and the start moves: nobody always follows the same neighbour. */
export function inRound<Item>(items: readonly Item[], round: number): Item[] {
  const ordered = round % 2 === 0 ? items : items.toReversed();
  const start = items.length > 0 ? Math.floor(round / 2) % items.length : 0;
  return [...ordered.slice(start), ...ordered.slice(0, start)];
}
