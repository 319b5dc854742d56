/**
 * Durations counted in buckets about 1.6 % wide, from 64 ns to a minute: millions of them in a few kilobytes
 * that the collector has no business with.
 */
const STEPS_PER_OCTAVE = 44;
const LEAST_NANOS = 64;
const BUCKETS = STEPS_PER_OCTAVE * 30;

export class Histogram {
  private readonly counts = new Uint32Array(BUCKETS);
  private total = 0;
  maxNanos = 0;

  record(nanos: number): void {
    this.total++;
    if (nanos > this.maxNanos) this.maxNanos = nanos;
    const bucket = nanos <= LEAST_NANOS ? 0 : Math.ceil(Math.log2(nanos / LEAST_NANOS) * STEPS_PER_OCTAVE);
    this.counts[Math.min(bucket, BUCKETS - 1)]++;
  }

  /** Upper bound, in ns, of the shortest duration that a share `q` of all does not exceed. */
  quantileNanos(q: number): number {
    const wanted = Math.ceil(this.total * q);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.counts[bucket];
      if (seen >= wanted) return Math.min(this.maxNanos, LEAST_NANOS * 2 ** (bucket / STEPS_PER_OCTAVE));
    }
    return this.maxNanos;
  }
}
