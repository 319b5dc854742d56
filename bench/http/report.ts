import { type BarChart, type Columns, middle, type Report, seriesTable } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { judge, type Verdict } from '../targets.ts';
import {
  errorsOf,
  type Figure,
  type Measurement,
  pairedRatios,
  roundsOf,
  SATURATED_SHARE,
} from './measurement.ts';
import type { LargePutResult } from './large-put.ts';
import { oursWith, type Peer, PEERS } from './peers.ts';
import type { Plan } from './plan.ts';
import type { ShedResult } from './shed.ts';
import { WORKLOADS } from './workloads.ts';

export interface HttpResults {
  readonly machine: string;
  readonly measurements: readonly Measurement[];
  readonly plan: Plan;
  readonly shed: ShedResult | undefined;
  readonly largePut: LargePutResult | undefined;
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

function medianOf(rounds: readonly Measurement[], figure: Figure): number {
  return median(rounds.map((each) => each[figure]));
}

/** Pure: judges the measurements of a run. Rounds with wrong answers do not count: answering wrongly is not fast. */
export function judgeHttp(
  measurements: readonly Measurement[],
  shed: ShedResult | undefined,
  largePut?: LargePutResult,
): Verdict[] {
  const right = measurements.filter(({ errors }) => errors === 0);
  const ratio = (figure: Figure, workload: string, below: string, above = 'kvc', other = workload): number =>
    median(pairedRatios(roundsOf(right, workload, above), roundsOf(right, other, below), figure));
  const users = roundsOf(measurements, 'users-100', 'kvc');
  const [fastest] = rowsOf(measurements, 'get-hits')
    .filter(({ peer, rounds }) => peer.kind === 'alternative' && errorsOf(rounds) === 0)
    .toSorted((a, b) => medianOf(b.rounds, 'requestsPerSecond') - medianOf(a.rounds, 'requestsPerSecond'))
    .map(({ peer }) => peer);
  const shedRatio = shed && shed.duringP99Micros / shed.beforeP99Micros;
  return [
    judge('getProcessor', ratio('cpuMicros', 'get-hits', 'fastify')),
    judge('getMainThread', ratio('mainThreadMicros', 'get-hits', 'fastify')),
    judge('getRate', ratio('requestsPerSecond', 'get-hits', fastest?.name ?? ''), fastest?.label),
    judge('usersRate', medianOf(users, 'requestsPerSecond')),
    judge('usersFailed', users.length > 0 ? errorsOf(users) : undefined),
    judge('putRate', ratio('requestsPerSecond', 'put', 'kvc', 'kvc', 'get-hits')),
    judge('pipelinedRate', ratio('requestsPerSecond', 'pipelined', 'fastify')),
    judge('oneConnection1', ratio('p50Micros', 'connections-1', 'fastify', oursWith(1))),
    judge('oneConnection4', ratio('p50Micros', 'connections-1', 'fastify', oursWith(4))),
    judge('gzipRate', ratio('requestsPerSecond', 'gzip', 'fastify-lru')),
    judge('rawProcessor', ratio('cpuMicros', 'get-hits', 'kvc', 'kvc-raw')),
    judge('rawRate10k', ratio('requestsPerSecond', 'get-10k', 'nginx-memcached', 'kvc-raw')),
    judge('rawRate100k', ratio('requestsPerSecond', 'get-100k', 'nginx-memcached', 'kvc-raw')),
    judge('shedLatency', shedRatio, shed && `${shed.orders.length} orders together`),
    judge(
      'largePutLatency',
      largePut?.besideP999Millis,
      largePut && `${largePut.withoutP999Millis.toFixed(1)} without them`,
    ),
  ];
}

const COLUMNS: Columns<Measurement> = {
  'requests/s': middle((each) => each.requestsPerSecond),
  '±': (rounds) => {
    const rates = rounds.map((each) => each.requestsPerSecond);
    return percent((Math.max(...rates) - Math.min(...rates)) / 2 / median(rates));
  },
  'p50 ms': middle((each) => each.p50Micros / 1e3, 3),
  'p97.5 ms': middle((each) => each.p97_5Micros / 1e3, 2),
  'p99 ms': middle((each) => each.p99Micros / 1e3, 2),
  errors: errorsOf,
  'CPU µs/request': middle((each) => each.cpuMicros, 1),
  'main thread µs': middle((each) => (hasOneEventLoop(each) ? each.mainThreadMicros : Number.NaN), 1),
  'resident MiB': middle((each) => each.residentBytes / 2 ** 20),
  generator: (rounds) => {
    const share = medianOf(rounds, 'generatorShare');
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
function workloadTable(measurements: readonly Measurement[], workload: string): string {
  const series = rowsOf(measurements, workload).map(({ peer, rounds }) => ({
    labels: [peer.label + (errorsOf(rounds) > 0 ? ' — disqualified: wrong or missing answers' : '')],
    rounds,
  }));
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

function largePutSection(result: LargePutResult): string[] {
  const { entries, largePuts, largePutP50Millis, evicted, withoutP999Millis, besideP999Millis, failed } =
    result;
  const small = `Requests of 100 bytes, 90 % GET, 4 connections: p99.9 ${withoutP999Millis.toFixed(2)} ms without PUTs of 1 MiB, ${besideP999Millis.toFixed(2)} ms beside them; ${failed} failed.`;
  const large = `${largePuts} PUTs of 1 MiB took ${largePutP50Millis.toFixed(1)} ms (median) and evicted ${evicted} of ${entries} entries.`;
  return ['## Small requests beside PUTs of 1 MiB', `${small} ${large}`];
}

function chart(title: string, measurements: readonly Measurement[], figure: Figure): BarChart {
  const charted = WORKLOADS.filter(({ name }) => ['get-hits', 'put', 'mixed', 'pipelined'].includes(name));
  const groups = charted.map((workload) => {
    const rows = rowsOf(measurements, workload.name).filter(({ rounds }) => errorsOf(rounds) === 0);
    const bars = rows.map(({ peer, rounds }) => ({ label: peer.label, value: medianOf(rounds, figure) }));
    return { label: workload.title, bars };
  });
  return { title, groups: groups.filter(({ bars }) => bars.length > 0) };
}

export function httpReport(results: HttpResults): Report {
  const { machine, plan, measurements, shed, largePut } = results;
  const measured = WORKLOADS.filter(({ name }) => measurements.some(({ workload }) => workload === name));
  const parts = [
    ...measured.flatMap(({ name, title }) => [`## ${title}`, workloadTable(measurements, name)]),
    ...(shed === undefined ? [] : shedSection(shed)),
    ...(largePut === undefined ? [] : largePutSection(largePut)),
  ];
  const charts = {
    'http-throughput': chart('Requests per second; more is better', measurements, 'requestsPerSecond'),
    'http-processor': chart('Processor time per request, µs; less is better', measurements, 'cpuMicros'),
  };
  return {
    name: 'http',
    title: 'HTTP benchmarks',
    introduction: `${machine} Each figure is the median of ${plan.rounds} rounds of ${plan.seconds} s.`,
    verdicts: judgeHttp(measurements, shed, largePut),
    parts,
    charts,
  };
}
