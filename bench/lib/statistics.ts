/** The q-quantile (0 ≤ q ≤ 1), interpolated between neighbours; NaN for no values. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  return below + (above - below) * (position - Math.floor(position));
}

/** The middle value: what one reports of rounds on a machine that others use too. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
