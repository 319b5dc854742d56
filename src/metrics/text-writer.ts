import type { Family } from './families.ts';

/** Durations so far: those up to each bound, then all, and their sum. */
interface Durations {
  readonly cumulative: readonly number[];
  readonly sumMs: number;
}

/** Of the text format that Prometheus reads. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Writes the text format of Prometheus. Label values are our own words: none needs escaping. */
export class TextWriter {
  private text = '';

  /** Begins a metric: its samples follow. */
  family({ name, type, help }: Family): this {
    this.text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    return this;
  }

  /** A metric of one sample without labels. */
  single(family: Family, value: number): this {
    this.family(family).text += `${family.name} ${value}\n`;
    return this;
  }

  /** @param labels as `name="value",…`. */
  sample({ name }: Family, labels: string, value: number): this {
    this.text += `${name}{${labels}} ${value}\n`;
    return this;
  }

  /** @param bounds of the buckets, as `secondsOf` writes them. */
  histogram(
    { name }: Family,
    labels: string,
    bounds: readonly string[],
    { cumulative, sumMs }: Durations,
  ): this {
    for (let i = 0; i < bounds.length; i++) {
      this.text += `${name}_bucket{${labels},le="${bounds[i]}"} ${cumulative[i]}\n`;
    }
    const count = cumulative[bounds.length];
    this.text +=
      `${name}_bucket{${labels},le="+Inf"} ${count}\n` +
      `${name}_sum{${labels}} ${toSeconds(sumMs)}\n${name}_count{${labels}} ${count}\n`;
    return this;
  }

  toString(): string {
    return this.text;
  }
}

/** To the microsecond. */
export function toSeconds(ms: number): number {
  return Math.round(ms * 1000) / 1e6;
}

export function secondsOf(boundsMs: readonly number[]): readonly string[] {
  return boundsMs.map((ms) => String(ms / 1000));
}
