import type { DataSetName } from './data.ts';
import type { DialectName } from './dialects.ts';

/** What the load generator's process is told to do; names only, so that it crosses the process border. */
export type Job = LoadJob | MeasureJob;

interface Target {
  readonly port: number;
  readonly dialect: DialectName;
  readonly keyCount: number;
}

/** Store a data set, each key once. */
export interface LoadJob extends Target {
  readonly kind: 'load';
  readonly dataSet: DataSetName;
}

/** Send a workload's requests for some time. */
export interface MeasureJob extends Target {
  readonly kind: 'measure';
  readonly workload: string;
  readonly seconds: number;
  /** Time under load before counting begins, for connections to be made and queues to fill. */
  readonly settleSeconds: number;
  /** The processes that make up the server: their use is read at both ends of the counted time. */
  readonly pids: readonly number[];
  /** Whether to keep every answer's time and latency. */
  readonly withTimeline: boolean;
}

export interface Sample {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Micros: number;
  readonly p97_5Micros: number;
  readonly p99Micros: number;
  readonly maxMicros: number;
  /** Answers of a wrong status or too short to be right, and requests without an answer, by what was wrong. */
  readonly errors: Readonly<Record<string, number>>;
  /** Processor time of all processes of the server in the counted time. */
  readonly cpuMicros: number;
  /** Of that, the first thread of the first process. */
  readonly mainThreadCpuMicros: number;
  readonly residentBytes: number;
  /** Share of one processor that the load generator's only busy thread used: near 1, it is the bottleneck. */
  readonly generatorShare: number;
  readonly timeline?: Timeline;
}

/** Every counted answer in the order they came: when (ms of Unix time) and after how long. */
export interface Timeline {
  readonly atMs: Float64Array;
  readonly latencyMicros: Float64Array;
}

export interface Measurement extends Omit<Sample, 'timeline'> {
  readonly peer: string;
  readonly workload: string;
  readonly round: number;
}

export type Reply =
  | { readonly kind: 'sample'; readonly sample: Sample }
  | { readonly kind: 'failed'; readonly message: string };

/** Share of a processor from which on the generator, not the server, may be what limits a figure. */
export const SATURATED_SHARE = 0.95;

export function requestsPerSecond({ requests, seconds }: Pick<Sample, 'requests' | 'seconds'>): number {
  return requests / seconds;
}

export function cpuMicrosPerRequest({ cpuMicros, requests }: Pick<Sample, 'cpuMicros' | 'requests'>): number {
  return cpuMicros / requests;
}

export function mainMicrosPerRequest(sample: Pick<Sample, 'mainThreadCpuMicros' | 'requests'>): number {
  return sample.mainThreadCpuMicros / sample.requests;
}

export function errorCount({ errors }: Pick<Sample, 'errors'>): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0);
}
