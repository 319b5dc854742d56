/** Seeded generator of numbers in [0, 1) (mulberry32): every run asks for the same keys in the same order. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Sampler of ranks 0 … count − 1 by Zipf's law: rank r comes with a weight of 1 ÷ (r + 1)^exponent. Exact, by
 * bisection of the cumulated weights; O(count) to set up.
 */
export function zipfSampler(count: number, exponent: number, random: () => number): () => number {
  const cumulated = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) {
    sum += 1 / (rank + 1) ** exponent;
    cumulated[rank] = sum;
  }
  return () => {
    const wanted = random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (cumulated[middle] > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** 0 … count − 1 in an order of chance (Fisher and Yates). */
export function shuffledIndexes(count: number, random: () => number): Uint32Array {
  const indexes = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [indexes[last], indexes[other]] = [indexes[other], indexes[last]];
  }
  return indexes;
}
