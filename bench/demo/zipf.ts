/**
 * Popularity as caches meet it: the nth key is asked for in proportion to 1/n, so a few keys take most of the requests.
 * @returns what turns a random number in [0, 1) into an index below `count`.
 */
export function zipf(count: number): (unit: number) => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index++) sums[index] = sum += 1 / (index + 1);
  return (unit) => {
    const wanted = unit * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle] > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
