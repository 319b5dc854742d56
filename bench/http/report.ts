import { type BarChart, type Columns, middle, type Report, seriesTable } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { judge, type Verdict } from '../targets.ts';
import {
  cpuMicros,
  errorCount,
  type Figure,
  mainThreadMicros,
  type Measurement,
  p50Micros,
  pairedRatios,
  requestsPerSecond,
  roundsOf,
  SATURATED_SHARE,
} from './measurement.ts';
import { oursWith, type Peer, PEERS } from './peers.ts';
import type { Plan } from './plan.ts';
import type { ShedResult } from './shed.ts';
import { WORKLOADS } from './workloads.ts';

export interface HttpResults {
  readonly machine: string;
  readonly measurements: readonly Measurement[];
  readonly plan: Plan;
  readonly shed: ShedResult | undefined;
}

interface Row {
  readonly peer: Peer;
  readonly rounds: readonly Measurement[];
}

/** The servers that took part in a workload. */
function rowsOf(measurements: readonly Measurement[], workload: string): Row[] {
  const all = PEERS.map((peer) => ({ peer, rounds: roundsOf(measurements, workload, peer.name) }));
  return all.filter(({ rounds }) => rounds.length > 0);
}

/** Wrong or missing answers of all rounds. */
function errorsOf(rounds: readonly Measurement[]): number {
  return rounds.reduce((sum, each) => sum + errorCount(each), 0);
}

function rateOf({ rounds }: Row): number {
  return median(rounds.map(requestsPerSecond));
}

/** Pure: judges the measurements of a run. Rounds with wrong answers do not count: answering wrongly is not fast. */
export function judgeHttp(measurements: readonly Measurement[], shed: ShedResult | undefined): Verdict[] {
  const right = measurements.filter((each) => errorCount(each) === 0);
  const ratio = (figure: Figure, workload: string, below: string, above = 'kvc', other = workload): number =>
    median(pairedRatios(roundsOf(right, workload, above), roundsOf(right, other, below), figure));
  const users = roundsOf(measurements, 'users-100', 'kvc');
  const fastest = rowsOf(measurements, 'get-hits')
    .filter(({ peer, rounds }) => peer.kind === 'alternative' && errorsOf(rounds) === 0)
    .toSorted((a, b) => rateOf(b) - rateOf(a))[0]?.peer;
  const shedRatio = shed && shed.duringP99Micros / shed.beforeP99Micros;
  return [
    judge('getProcessor', ratio(cpuMicros, 'get-hits', 'fastify')),
    judge('getMainThread', ratio(mainThreadMicros, 'get-hits', 'fastify')),
    judge('getRate', ratio(requestsPerSecond, 'get-hits', fastest?.name ?? ''), fastest?.label),
    judge('usersRate', median(users.map(requestsPerSecond))),
    judge('usersFailed', users.length > 0 ? errorsOf(users) : undefined),
    judge('putRate', ratio(requestsPerSecond, 'put', 'kvc', 'kvc', 'get-hits')),
    judge('pipelinedRate', ratio(requestsPerSecond, 'pipelined', 'fastify')),
    judge('oneConnection1', ratio(p50Micros, 'connections-1', 'fastify', oursWith(1))),
    judge('oneConnection4', ratio(p50Micros, 'connections-1', 'fastify', oursWith(4))),
    judge('gzipRate', ratio(requestsPerSecond, 'gzip', 'fastify-lru')),
    judge('shedLatency', shedRatio, shed && `${shed.orders.length} orders together`),
  ];
}

const COLUMNS: Columns<Measurement> = {
  'requests/s': middle(requestsPerSecond),
  '±': (rounds) => {
    const rates = rounds.map(requestsPerSecond);
    return percent((Math.max(...rates) - Math.min(...rates)) / 2 / median(rates));
  },
  'p50 ms': middle((each) => each.p50Micros / 1e3, 3),
  'p97.5 ms': middle((each) => each.p97_5Micros / 1e3, 2),
  'p99 ms': middle((each) => each.p99Micros / 1e3, 2),
  errors: errorsOf,
  'CPU µs/request': middle(cpuMicros, 1),
  'main thread µs': (rounds) =>
    hasOneEventLoop(rounds[0]) ? median(rounds.map(mainThreadMicros)).toFixed(1) : '–',
  'resident MiB': middle((each) => each.residentBytes / 2 ** 20),
  generator: (rounds) => {
    const share = median(rounds.map(({ generatorShare }) => generatorShare));
    return `${percent(share)}${share > SATURATED_SHARE ? '†' : ''}`;
  },
};

function hasOneEventLoop({ peer }: Measurement): boolean {
  return PEERS.some(({ name, kind }) => name === peer && kind !== 'alternative');
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A server that answers wrongly is shown, but its figures mean nothing. */
function labelOf({ peer, rounds }: Row): string {
  return peer.label + (errorsOf(rounds) > 0 ? ' — disqualified: wrong or missing answers' : '');
}

function workloadTable(measurements: readonly Measurement[], workload: string): string {
  const rows = rowsOf(measurements, workload);
  const series = rows.map((row) => ({ labels: [labelOf(row)], rounds: row.rounds }));
  return seriesTable(['server'], COLUMNS, series);
}

function shedSection({ orders, beforeP99Micros, duringP99Micros, failed }: ShedResult): string[] {
  const [before, during] = [beforeP99Micros, duringP99Micros].map((micros) => (micros / 1e3).toFixed(2));
  const each = orders.map(
    ({ shedBytes, tookMs, longestSliceMs }) =>
      `- ${Math.round(shedBytes / 2 ** 20)} MiB in ${Math.round(tookMs)} ms, longest slice ${longestSliceMs.toFixed(1)} ms`,
  );
  const all = `GET p99 ${before} ms before the orders, ${during} ms during them; ${failed} GETs failed.`;
  return ['## GET while a shed order is carried out', all, each.join('\n')];
}

function chart(title: string, measurements: readonly Measurement[], figure: Figure): BarChart {
  const groups = ['get-hits', 'put', 'mixed', 'pipelined'].map((name) => {
    const rows = rowsOf(measurements, name).filter(({ rounds }) => errorsOf(rounds) === 0);
    const bars = rows.map(({ peer, rounds }) => ({ label: peer.label, value: median(rounds.map(figure)) }));
    return { label: WORKLOADS.find((workload) => workload.name === name)!.title, bars };
  });
  return { title, groups: groups.filter(({ bars }) => bars.length > 0) };
}

export function httpReport(results: HttpResults): Report {
  const { machine, plan, measurements, shed } = results;
  const measured = WORKLOADS.filter(({ name }) => measurements.some(({ workload }) => workload === name));
  const parts = [
    ...measured.flatMap(({ name, title }) => [`## ${title}`, workloadTable(measurements, name)]),
    ...(shed === undefined ? [] : shedSection(shed)),
  ];
  const charts = {
    'http-throughput': chart('Requests per second; more is better', measurements, requestsPerSecond),
    'http-processor': chart('Processor time per request, µs; less is better', measurements, cpuMicros),
  };
  return {
    name: 'http',
    title: 'HTTP benchmarks',
    introduction: `${machine} Each figure is the median of ${plan.rounds} rounds of ${plan.seconds} s.`,
    verdicts: judgeHttp(measurements, shed),
    parts,
    charts,
  };
}
