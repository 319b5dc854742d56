import { median } from '../lib/statistics.ts';
import {
  cpuMicrosPerRequest,
  errorCount,
  mainMicrosPerRequest,
  type Measurement,
  requestsPerSecond,
} from './measurement.ts';

/** The median over rounds of each figure of one server in one workload. */
export interface Summary {
  readonly peer: string;
  readonly workload: string;
  readonly requestsPerSecond: number;
  /** Half the range of the rounds' requests per second, as a share of the median. */
  readonly spread: number;
  readonly p50Micros: number;
  readonly p97_5Micros: number;
  readonly p99Micros: number;
  readonly cpuMicrosPerRequest: number;
  readonly mainMicrosPerRequest: number;
  readonly residentBytes: number;
  readonly generatorShare: number;
  /** Over all rounds. */
  readonly errors: number;
  readonly requests: number;
}

export function summarise(measurements: readonly Measurement[]): Summary[] {
  const groups = Map.groupBy(measurements, ({ peer, workload }) => `${workload}\n${peer}`);
  return [...groups.values()].map((rounds) => {
    const { peer, workload } = rounds[0];
    const middle = (figure: (measurement: Measurement) => number): number => median(rounds.map(figure));
    const rates = rounds.map(requestsPerSecond);
    return {
      peer,
      workload,
      requestsPerSecond: median(rates),
      spread: (Math.max(...rates) - Math.min(...rates)) / 2 / median(rates),
      p50Micros: middle((each) => each.p50Micros),
      p97_5Micros: middle((each) => each.p97_5Micros),
      p99Micros: middle((each) => each.p99Micros),
      cpuMicrosPerRequest: middle(cpuMicrosPerRequest),
      mainMicrosPerRequest: middle(mainMicrosPerRequest),
      residentBytes: middle((each) => each.residentBytes),
      generatorShare: middle((each) => each.generatorShare),
      errors: rounds.reduce((sum, each) => sum + errorCount(each), 0),
      requests: rounds.reduce((sum, each) => sum + each.requests, 0),
    };
  });
}

/**
 * How one series of rounds compares with another: the quotient of each round with its neighbour in time, then the
 * median, so that a slow minute of the machine weighs on both sides.
 */
export function pairedRatios(
  measurements: readonly Measurement[],
  above: Place,
  below: Place,
  figure: (measurement: Measurement) => number,
): number[] {
  const of = ({ peer, workload }: Place): Measurement[] =>
    measurements.filter((each) => each.peer === peer && each.workload === workload);
  const divisors = new Map(of(below).map((each) => [each.round, figure(each)]));
  return of(above).flatMap((each) => {
    const divisor = divisors.get(each.round);
    return divisor === undefined ? [] : [figure(each) / divisor];
  });
}

export interface Place {
  readonly peer: string;
  readonly workload: string;
}
