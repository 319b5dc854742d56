import type { DialectName } from './requests.ts';
import type { DataSetName, Workload } from './workloads.ts';

/** What the load generator's thread is to do: plain data, so that it can be sent there. */
interface Job {
  readonly port: number;
  readonly dialect: DialectName;
  readonly keyCount: number;
}

/** Store each key of a data set once. */
export interface LoadJob extends Job {
  readonly dataSet: DataSetName;
}

/** Send a workload's requests for some time. */
export interface MeasureJob extends Job {
  readonly workload: Workload;
  readonly seconds: number;
  /** Time under load before counting begins, for connections to be made and queues to fill. */
  readonly settleSeconds: number;
  /** The server's processes: what they have used is read at both ends of the counted time. */
  readonly pids: readonly number[];
  /** Whether to keep every answer's time and latency. */
  readonly withTimeline?: boolean;
}

export interface Sample {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Micros: number;
  readonly p97_5Micros: number;
  readonly p99Micros: number;
  /** Answers with a wrong status or length, and requests without an answer. */
  readonly errors: number;
  /** How often each error came, by what was wrong. */
  readonly errorKinds: Readonly<Record<string, number>>;
  /** Processor time of all processes of the server, per request. */
  readonly cpuMicros: number;
  /** The part of it that the first thread of the first process used. */
  readonly mainThreadMicros: number;
  readonly residentBytes: number;
  /** The share of one processor that the load generator's thread used: near 1, it is the bottleneck. */
  readonly generatorShare: number;
}

/** Every counted answer in the order they came: when (ms of Unix time) and after how long. */
export interface Timeline {
  readonly atMs: number[];
  readonly latencyMicros: number[];
}

export interface Measurement extends Sample {
  readonly peer: string;
  readonly workload: string;
  readonly round: number;
}

export interface Reply {
  readonly sample: Sample;
  readonly timeline?: Timeline | undefined;
}

/** From this share of a processor on the generator, not the server, may be what limits a figure. */
export const SATURATED_SHARE = 0.95;

export type Figure = Exclude<keyof Sample, 'errorKinds'>;

/** The rounds of one server in one workload. */
export function roundsOf(all: readonly Measurement[], workload: string, peer: string): Measurement[] {
  return all.filter((each) => each.peer === peer && each.workload === workload);
}

/**
 * Compares two series of rounds: each round with the same round of the other, its neighbour in time, so that a slow
 * minute of the machine weighs on both sides.
 */
export function pairedRatios(
  above: readonly Measurement[],
  below: readonly Measurement[],
  figure: Figure,
): number[] {
  const divisors = new Map(below.map((each) => [each.round, each[figure]]));
  return above.flatMap((each) => {
    const divisor = divisors.get(each.round);
    return divisor === undefined ? [] : [each[figure] / divisor];
  });
}

/** Wrong or missing answers of all rounds. */
export function errorsOf(rounds: readonly Measurement[]): number {
  return rounds.reduce((sum, { errors }) => sum + errors, 0);
}
