import { judge, type Verdict } from '../targets.ts';
import { type BarChart, type Columns, type Report, faultOf, middle, seriesTable } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import type { Measurement } from './measurement.ts';
import { CLIENTS, CONCURRENCIES, type Cell, type ClientName, OPERATIONS, VALUE_BYTES } from './plan.ts';

const COLUMNS: Columns<Measurement> = {
  'calls/s': middle((each) => each.callsPerSecond),
  'p50 ms': middle((each) => each.p50Micros / 1e3, 3),
  'p99 ms': middle((each) => each.p99Micros / 1e3, 2),
  'client µs': middle((each) => each.clientMicros, 2),
  'server µs': middle((each) => each.serverMicros, 2),
  fault: faultOf,
};

/** The cells that a run has measured, in the order of the page. */
function cellsOf(measurements: readonly Measurement[]): Cell[] {
  const all = VALUE_BYTES.flatMap((valueBytes) =>
    OPERATIONS.flatMap((operation) =>
      CONCURRENCIES.map((concurrency) => ({ valueBytes, operation, concurrency })),
    ),
  );
  return all.filter((cell) => measurements.some((each) => isOf(each, cell)));
}

function isOf(measurement: Measurement, cell: Cell): boolean {
  return (
    measurement.operation === cell.operation &&
    measurement.concurrency === cell.concurrency &&
    measurement.valueBytes === cell.valueBytes
  );
}

function roundsOf(measurements: readonly Measurement[], client: ClientName, cell: Cell): Measurement[] {
  return measurements.filter((each) => each.client === client && isOf(each, cell));
}

type Figure = 'callsPerSecond' | 'p50Micros' | 'clientMicros' | 'serverMicros';

/** The median of the ratios of each round with the same round of another client. */
function ratioOf(
  measurements: readonly Measurement[],
  figure: Figure,
  cell: Cell,
  [above, below]: readonly [ClientName, ClientName],
): number {
  const others = roundsOf(measurements, below, cell);
  return median(
    roundsOf(measurements, above, cell).map((each, round) => each[figure] / others[round]?.[figure]),
  );
}

function getsAt(concurrency: number): Cell {
  return { operation: 'GET', concurrency, valueBytes: 100 };
}

export function judgeClients(measurements: readonly Measurement[]): Verdict[] {
  const ratio = (figure: Figure, concurrency: number, other: ClientName): number =>
    ratioOf(measurements, figure, getsAt(concurrency), ['CacheClient', other]);
  const serverMicros = [64, 1000].map((concurrency) =>
    median(roundsOf(measurements, 'CacheClient', getsAt(concurrency)).map((each) => each.serverMicros)),
  );
  return [
    judge('clientRate64', ratio('callsPerSecond', 64, 'ioredis')),
    judge('clientRate1000', ratio('callsPerSecond', 1000, 'ioredis')),
    judge('clientProcessor', ratio('clientMicros', 64, 'ioredis'), '64 calls at once'),
    judge(
      'batchProcessor',
      Math.max(...serverMicros),
      serverMicros.map((micros) => micros.toFixed(2)).join(' with 64, ') + ' with 1,000',
    ),
    judge('clientLatency', ratio('p50Micros', 1, 'undici.request')),
  ];
}

function titleOf({ valueBytes, operation, concurrency }: Cell): string {
  const size = valueBytes < 1024 ? `${valueBytes} B` : `${valueBytes / 1024} KB`;
  return `${operation}, ${size}, ${concurrency.toLocaleString('en-US')} at once`;
}

export function clientReport(
  machine: string,
  measurements: readonly Measurement[],
  setup: { readonly rounds: number; readonly milliseconds: number; readonly shards: number },
): Report {
  const cells = cellsOf(measurements);
  const tables = cells.flatMap((cell) => {
    const series = CLIENTS.map((client) => ({
      labels: [client],
      rounds: roundsOf(measurements, client, cell),
    })).filter(({ rounds }) => rounds.length > 0);
    return [`## ${titleOf(cell)}`, seriesTable(['client'], COLUMNS, series)];
  });
  const chart: BarChart = {
    title: 'Calls per second with values of 100 bytes; more is better',
    groups: cells
      .filter(({ valueBytes, concurrency }) => valueBytes === 100 && concurrency > 1)
      .map((cell) => ({
        label: titleOf(cell),
        bars: CLIENTS.flatMap((label) => {
          const rounds = roundsOf(measurements, label, cell);
          return rounds.length > 0
            ? [{ label, value: median(rounds.map((each) => each.callsPerSecond)) }]
            : [];
        }),
      })),
  };
  const { rounds, milliseconds, shards } = setup;
  return {
    name: 'client',
    title: 'Clients of a Node service',
    introduction:
      `${machine} Clients, server and Redis share the processors; each client is one process. ` +
      `Each figure is the median of ${rounds} rounds of ${milliseconds} ms; SHARDS=${shards}. ` +
      'ioredis and node-redis pipeline by themselves and ask redis-server over TCP.',
    verdicts: judgeClients(measurements),
    parts: tables,
    charts: { 'client-rates': chart },
  };
}
