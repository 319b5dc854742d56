import type { LoadGenerator } from './load-generator.ts';
import {
  cpuMicrosPerRequest,
  errorCount,
  type Measurement,
  requestsPerSecond,
  SATURATED_SHARE,
} from './measurement.ts';
import type { LoadedPeer } from './peers/peer.ts';
import type { Plan } from './plan.ts';
import type { Workload } from './workloads.ts';

interface Step {
  readonly workload: Workload;
  readonly loaded: LoadedPeer;
  /** 0 is the warm-up, which is thrown away. */
  readonly round: number;
  readonly seconds: number;
}

/**
 * Measures every workload with every server, round after round: neighbours in time share the machine's moods, so
 * servers take turns rather than each having its rounds in a row, and so do workloads. Where one is judged by another,
 * each server has the two in a row.
 */
export async function runRounds(
  plan: Plan,
  servers: ReadonlyMap<string, LoadedPeer>,
  generator: LoadGenerator,
  report: (line: string) => void,
): Promise<Measurement[]> {
  const steps = stepsOf(plan, servers);
  const clock = remainingTime(steps.map((step) => step.seconds + plan.settleSeconds));
  const measurements: Measurement[] = [];
  for (const [index, { workload, loaded, round, seconds }] of steps.entries()) {
    const { timeline: _, ...sample } = await generator.run({
      kind: 'measure',
      port: loaded.port,
      dialect: loaded.peer.dialect,
      keyCount: plan.keyCount,
      workload: workload.name,
      seconds,
      settleSeconds: plan.settleSeconds,
      pids: loaded.pids,
      withTimeline: false,
    });
    if (round === 0) continue;
    const measurement = { peer: loaded.peer.name, workload: workload.name, round, ...sample };
    measurements.push(measurement);
    report(progressLine(measurement, index + 1, steps.length, clock(index)));
  }
  return measurements;
}

/** What is measured, in its order. */
export function stepsOf(plan: Plan, servers: ReadonlyMap<string, LoadedPeer>): Step[] {
  return Array.from({ length: plan.rounds + 1 }, (_, round) => {
    const seconds = round === 0 ? plan.warmUpSeconds : plan.seconds;
    const groups = [...Map.groupBy(plan.workloads, ({ name, judgedBy }) => judgedBy ?? name).values()];
    return groups.flatMap((workloads) =>
      inRound([...servers.values()], round).flatMap((loaded) => {
        const taken = workloads.filter(({ peers }) => peers.includes(loaded.peer.name));
        return inRound(taken, round).map((workload) => ({ workload, loaded, round, seconds }));
      }),
    );
  }).flat();
}

/** Each round goes the other way round, and each second one begins with another item: none always follows the same one. */
export function inRound<Item>(items: readonly Item[], round: number): Item[] {
  const ordered = round % 2 === 0 ? items : items.toReversed();
  const start = items.length > 0 ? Math.floor(round / 2) % items.length : 0;
  return [...ordered.slice(start), ...ordered.slice(0, start)];
}

/** Seconds left after a step, by what the steps so far took beyond their planned time. */
function remainingTime(plannedSeconds: readonly number[]): (index: number) => number {
  const startedAt = performance.now();
  return (index) => {
    const done = sum(plannedSeconds.slice(0, index + 1));
    const left = sum(plannedSeconds.slice(index + 1));
    return ((performance.now() - startedAt) / 1_000 / done) * left;
  };
}

export function progressLine(
  measurement: Measurement,
  step: number,
  steps: number,
  secondsLeft: number,
): string {
  const { peer, workload, round, p99Micros, generatorShare } = measurement;
  const errors = errorCount(measurement);
  return [
    `[${String(step).padStart(String(steps).length)}/${steps}]`,
    workload.padEnd(15),
    peer.padEnd(20),
    `round ${round}`,
    `${Math.round(requestsPerSecond(measurement)).toLocaleString('en-US').padStart(7)} req/s`,
    `${cpuMicrosPerRequest(measurement).toFixed(1).padStart(6)} µs/req`,
    `p99 ${(p99Micros / 1_000).toFixed(2).padStart(6)} ms`,
    generatorShare > SATURATED_SHARE ? 'generator busy' : '              ',
    errors > 0 ? `${errors} errors` : '',
    `| about ${shortTime(secondsLeft)} left`,
  ].join(' ');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function shortTime(seconds: number): string {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
