import type { LineChart } from '../lib/chart.ts';
import type { LoadGenerator } from './load-generator.ts';

export interface ShedResult {
  readonly beforeP99Micros: number;
  readonly duringP99Micros: number;
  /** What happened, in a sentence. */
  readonly note: string;
  readonly chart: LineChart;
}

export function measureShedding(
  _generator: LoadGenerator,
  report: (line: string) => void,
): Promise<ShedResult | undefined> {
  report('shed: not written yet');
  return Promise.resolve(undefined);
}
