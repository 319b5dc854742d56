import { randomUnit } from '../store/workload.ts';

/** How long values are: as a cache's usually are (log-uniform), and as they rarely are but hurt most (uniform). */
export type Sizes = '100 B' | 'log-uniform' | 'uniform';

const LEAST_BYTES = 10;
const MOST_BYTES = 100_000;
const FIXED_BYTES = 100;

/** The length of the value of an index in its `version`th life: 10 B to 100 KB. */
export function valueBytesOf(sizes: Sizes, index: number, version: number): number {
  if (sizes === '100 B') return FIXED_BYTES;
  const unit = randomUnit(index, Math.imul(version, 0x85ebca6b));
  const bytes =
    sizes === 'uniform'
      ? LEAST_BYTES + unit * (MOST_BYTES - LEAST_BYTES)
      : LEAST_BYTES * (MOST_BYTES / LEAST_BYTES) ** unit;
  return Math.round(bytes);
}

export function meanValueBytes(sizes: Sizes): number {
  if (sizes === '100 B') return FIXED_BYTES;
  if (sizes === 'uniform') return (LEAST_BYTES + MOST_BYTES) / 2;
  return (MOST_BYTES - LEAST_BYTES) / Math.log(MOST_BYTES / LEAST_BYTES);
}
