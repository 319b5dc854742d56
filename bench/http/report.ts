import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BarChart, barChartSvg, lineChartSvg } from '../lib/chart.ts';
import { markdownTable } from '../lib/table.ts';
import type { Facts } from './facts.ts';
import { type Measurement, SATURATED_SHARE } from './measurement.ts';
import { ALL_PEERS } from './peers/all-peers.ts';
import type { Plan } from './plan.ts';
import type { ShedResult } from './shed.ts';
import { type Summary, summarise } from './summary.ts';
import { type Target, targetsTable } from './targets.ts';
import { WORKLOADS } from './workloads.ts';

export interface Results {
  readonly facts: Facts;
  readonly plan: Pick<Plan, 'rounds' | 'seconds' | 'keyCount'>;
  /** By server, what its answers had wrong before anything was measured. */
  readonly faults: Readonly<Record<string, string>>;
  readonly measurements: readonly Measurement[];
  readonly shed: ShedResult | undefined;
  readonly targets: readonly Target[];
}

/** Writes `http.json` (every round), `http.md` and the charts. */
export async function writeReport(results: Results, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const files: [string, string][] = [
    ['http.json', `${JSON.stringify(results, null, 2)}\n`],
    ['http.md', markdownReport(results)],
    ...charts(results),
  ];
  await Promise.all(files.map(([name, text]) => writeFile(join(directory, name), text)));
}

export function markdownReport(results: Results): string {
  const { facts, plan, shed, targets } = results;
  const versions = Object.entries(facts.versions).map(([name, version]) => `${name} ${version}`);
  const parts = [
    '# HTTP benchmarks',
    `${facts.date.slice(0, 16).replace('T', ' ')} UTC, commit ${facts.commit}, ${facts.processor} (${facts.processors} processors), ${facts.memoryGiB} GiB, ${facts.system}, Node ${facts.node}. ${versions.join(', ')}. Load average before: ${facts.loadAverage}.`,
    `Each figure is the median of ${plan.rounds} rounds of ${plan.seconds} s; servers, and workloads, take turns. Load comes from autocannon, one thread, on the same machine: † marks where it was itself above ${SATURATED_SHARE * 100} % of a processor, so that requests/s and latency may be its limit rather than the server's. Processor time per request is that of all processes of a server; it depends on the load only by how many requests come together.`,
    '## Targets',
    targetsTable(targets),
    ...workloadSections(results),
    ...(shed === undefined ? [] : ['## GET while a shed order is carried out', shed.note]),
  ];
  return `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`;
}

export function workloadSections({ measurements, faults }: Results): string[] {
  const summaries = summarise(measurements);
  return WORKLOADS.flatMap(({ name, title }) => {
    const rows = inPeerOrder(summaries.filter(({ workload }) => workload === name));
    return rows.length === 0 ? [] : [`## ${title}`, summaryTable(rows, faults)];
  });
}

const SUMMARY_COLUMNS = [
  'server',
  'requests/s',
  '±',
  'p50 ms',
  'p97.5 ms',
  'p99 ms',
  'errors',
  'CPU µs/request',
  'main thread µs',
  'resident MiB',
  'generator',
];

function summaryTable(summaries: readonly Summary[], faults: Results['faults']): string {
  return markdownTable(
    SUMMARY_COLUMNS,
    summaries.map((each) => [
      labelOf(each.peer) + faultNote(each, faults),
      Math.round(each.requestsPerSecond).toLocaleString('en-US'),
      Number.isFinite(each.spread) ? `${Math.round(each.spread * 100)} %` : '–',
      millis(each.p50Micros),
      millis(each.p97_5Micros),
      millis(each.p99Micros),
      each.errors,
      tenths(each.cpuMicrosPerRequest),
      hasOneEventLoop(each.peer) ? tenths(each.mainMicrosPerRequest) : '–',
      Math.round(each.residentBytes / 2 ** 20),
      `${Math.round(each.generatorShare * 100)} %${each.generatorShare > SATURATED_SHARE ? '†' : ''}`,
    ]),
  );
}

function tenths(value: number): string {
  return Number.isFinite(value) ? value.toFixed(1) : '–';
}

function millis(micros: number): string {
  return (micros / 1_000).toFixed(micros < 1_000 ? 3 : 2);
}

/** A server that answers wrongly is no measure of anything: shown, and said to be wrong. */
function faultNote(summary: Summary, faults: Results['faults']): string {
  if (summary.errors > 0) {
    const share = Math.min(1, summary.errors / summary.requests);
    return ` — disqualified: ${Number((share * 100).toPrecision(2))} % wrong or missing answers`;
  }
  const fault = faults[summary.peer];
  return fault === undefined ? '' : ` — disqualified: ${fault}`;
}

function hasOneEventLoop(peer: string): boolean {
  return !ALL_PEERS.some(({ name, isAlternative }) => name === peer && isAlternative);
}

function labelOf(peer: string): string {
  return ALL_PEERS.find(({ name }) => name === peer)?.label ?? peer;
}

function inPeerOrder(summaries: readonly Summary[]): Summary[] {
  return ALL_PEERS.flatMap(({ name }) => summaries.filter(({ peer }) => peer === name));
}

function charts({ measurements, faults, shed }: Results): [string, string][] {
  const right = summarise(measurements).filter(({ errors, peer }) => errors === 0 && !(peer in faults));
  const bars = (
    title: string,
    unit: string,
    workloads: readonly string[],
    value: (summary: Summary) => number,
  ): BarChart => ({
    title,
    unit,
    groups: WORKLOADS.filter(({ name }) => workloads.includes(name)).flatMap((workload) => {
      const rows = inPeerOrder(right.filter((each) => each.workload === workload.name));
      const groupBars = rows.map((each) => ({ label: labelOf(each.peer), value: value(each) }));
      return groupBars.length === 0 ? [] : [{ label: workload.title, bars: groupBars }];
    }),
  });
  const main = ['get-hits', 'put', 'mixed', 'zipf', 'pipelined'];
  const drawn: [string, BarChart][] = [
    ['throughput', bars('Requests per second', 'more is better', main, (each) => each.requestsPerSecond)],
    [
      'processor',
      bars(
        'Processor time per request',
        'µs, all processes of the server; less is better',
        main,
        (each) => each.cpuMicrosPerRequest,
      ),
    ],
    [
      'latency',
      bars(
        'Median latency, one connection',
        'µs; less is better',
        ['connections-1'],
        (each) => each.p50Micros,
      ),
    ],
    [
      'large-values',
      bars(
        'Requests per second, large values',
        'more is better',
        ['gzip', 'get-10k', 'get-100k', 'put-10k'],
        (each) => each.requestsPerSecond,
      ),
    ],
  ];
  return [
    ...drawn
      .filter(([, chart]) => chart.groups.length > 0)
      .map(([name, chart]): [string, string] => [`http-${name}.svg`, barChartSvg(chart)]),
    ...(shed === undefined ? [] : [['http-shed.svg', lineChartSvg(shed.chart)] satisfies [string, string]]),
  ];
}
