import { quantile } from '../lib/statistics.ts';
import type { LineChart } from '../lib/chart.ts';
import type { LoadGenerator } from './load-generator.ts';
import { errorCount, type Timeline } from './measurement.ts';
import { keyValueCache } from './peers/node-peers.ts';
import { type Order, put, readMemory } from './shed-server.ts';

/** What GETs felt of shed orders that each took a tenth of 1 GiB. */
export interface ShedResult {
  readonly orders: readonly OrderEffect[];
  /** p99 of all answers during all orders ÷ p99 of all answers just before them. */
  readonly p99Ratio: number;
  readonly note: string;
  readonly chart: LineChart;
}

export interface OrderEffect {
  readonly beforeP99Micros: number;
  readonly duringP99Micros: number;
  readonly answersDuring: number;
  readonly tookMs: number;
  readonly longestSliceMs: number;
  readonly shedBytes: number;
  readonly shedEntries: number;
}

const MIB = 2 ** 20;
/** The keys that are read: few, so that they stay the most recently used and are never shed. */
const READ_KEYS = 20_000;
/** Above 1 GiB of values: their keys and records, the process itself, and room for the heap to vary in. */
const THRESHOLD_BYTES = 1024 * MIB * 1.06 + 300 * MIB;
/**
 * Long enough for several orders: one alone is answered by so few GETs that a single pause of the machine decides
 * its p99.
 */
const MEASURED_SECONDS = 90;
/** 12 MiB a second in few requests: an order takes ten seconds to come, and PUTs little of the processor. */
const TRICKLE = { puts: 3, everyMs: 15 };
/** Nothing in it is to be escaped: it costs both sides little. */
const VALUE = 'v'.repeat(64 * 1024);
const BEFORE_MS = 3_000;
const SLICE_MS = 100;

/**
 * Fills our server with 1 GiB, and while it serves GETs lets a trickle of PUTs cross the threshold again and again,
 * which leads to one order each time. The trickle never stops, so that before and during differ by the order alone.
 */
export async function measureShedding(
  generator: LoadGenerator,
  report: (line: string) => void,
): Promise<ShedResult | undefined> {
  const limitBytes = Math.round(THRESHOLD_BYTES / 0.7);
  const env = { MEMORY_LIMIT: String(limitBytes), MEMORY_THRESHOLD: '0.7', SHED_FRACTION: '0.1' };
  const peer = keyValueCache({ name: 'kvc', label: 'key-value-cache', shards: 1, env });
  const server = await peer.start({ directory: '' });
  const target = { port: server.port, dialect: peer.dialect, keyCount: READ_KEYS };
  try {
    report('shed: filling with 1 GiB of 1 KiB values');
    for (const dataSet of ['gigabyte', 'small'] as const) {
      const loaded = await generator.run({ kind: 'load', dataSet, ...target });
      const refused = errorCount(loaded);
      if (refused > 0) report(`shed: ${refused} PUTs failed while filling: ${JSON.stringify(loaded.errors)}`);
      // A few do not matter: what is missing is put afterwards.
      if (refused > loaded.requests / 100) throw new Error('too many PUTs failed');
    }
    await untilOrder(server.port);
    report(`shed: ${MEASURED_SECONDS} s of GETs, with an order about every ten`);
    const measuring = generator.run({
      kind: 'measure',
      workload: 'get-hits',
      seconds: MEASURED_SECONDS,
      settleSeconds: 0.5,
      pids: server.pids,
      withTimeline: true,
      ...target,
    });
    const orders = await trickle(server.port, MEASURED_SECONDS * 1_000);
    const { timeline, errors } = await measuring;
    if (timeline === undefined || orders.length === 0) throw new Error('no order came');
    const failed = errorCount({ errors });
    if (failed > 0) report(`shed: ${failed} GETs failed: ${JSON.stringify(errors)}`);
    return resultOf(orders, timeline, failed);
  } catch (error) {
    report(`shed: not measured: ${String(error)}`);
    return undefined;
  } finally {
    await server.stop();
  }
}

/** PUTs until the first order has been carried out: by then the server has compiled what it takes. */
async function untilOrder(port: number): Promise<void> {
  for (let index = 0; ; index++) {
    if (index % 16 === 0 && (await readMemory(port)).lastOrder !== null) return;
    await put(port, `fill-${index}`, VALUE);
  }
}

/** PUTs at a steady rate. @returns the orders that were carried out meanwhile. */
async function trickle(port: number, forMs: number): Promise<Order[]> {
  const orders = new Map<string, Order>();
  const first = (await readMemory(port)).lastOrder?.at;
  const untilMs = Date.now() + forMs;
  for (let index = 0; Date.now() < untilMs; index++) {
    for (let i = 0; i < TRICKLE.puts; i++) await put(port, `trickle-${index}-${i}`, VALUE);
    await new Promise((resolve) => {
      setTimeout(resolve, TRICKLE.everyMs);
    });
    if (index % 10 !== 0) continue;
    const { lastOrder } = await readMemory(port);
    if (lastOrder && lastOrder.at !== first) orders.set(lastOrder.at, lastOrder);
  }
  return [...orders.values()];
}

/** Pure: all answers that came during orders against all that came in the seconds before them. */
function resultOf(orders: readonly Order[], timeline: Timeline, errors: number): ShedResult {
  const beforeAll: number[] = [];
  const duringAll: number[] = [];
  const effects = orders.map((order): OrderEffect => {
    const startMs = Date.parse(order.at);
    const before = between(timeline, startMs - BEFORE_MS, startMs);
    const during = between(timeline, startMs, startMs + order.tookMs);
    for (const micros of before) beforeAll.push(micros);
    for (const micros of during) duringAll.push(micros);
    const { at: _at, ...figures } = order;
    return {
      beforeP99Micros: quantile(before, 0.99),
      duringP99Micros: quantile(during, 0.99),
      answersDuring: during.length,
      ...figures,
    };
  });
  const [beforeP99, duringP99] = [beforeAll, duringAll].map((micros) => quantile(micros, 0.99));
  return {
    orders: effects,
    p99Ratio: duringP99 / beforeP99,
    note:
      `All orders together: GET p99 ${millis(beforeP99)} ms before, ${millis(duringP99)} ms during; ` +
      `${errors} GETs failed.\n\n${effects.map((effect) => `- ${inWords(effect)}`).join('\n')}`,
    chart: chartOf(orders[orders.length - 1], timeline),
  };
}

/** The latencies of the answers that came in this time, µs. */
function between({ atMs, latencyMicros }: Timeline, fromMs: number, toMs: number): number[] {
  return Array.from(latencyMicros.subarray(firstAt(atMs, fromMs), firstAt(atMs, toMs)));
}

/** The place of the first answer that came at this time or later. */
function firstAt(atMs: Float64Array, wantedMs: number): number {
  let [low, high] = [0, atMs.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (atMs[middle] < wantedMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function millis(micros: number): string {
  return (micros / 1_000).toFixed(2);
}

function inWords(effect: OrderEffect): string {
  return (
    `${Math.round(effect.shedBytes / MIB)} MiB in ${effect.shedEntries.toLocaleString('en-US')} entries shed in ` +
    `${Math.round(effect.tookMs)} ms (longest slice ${effect.longestSliceMs.toFixed(1)} ms); GET p99 ` +
    `${millis(effect.beforeP99Micros)} ms before, ${millis(effect.duringP99Micros)} ms during ` +
    `(${effect.answersDuring} answers)`
  );
}

function chartOf(order: Order, timeline: Timeline): LineChart {
  const startMs = Date.parse(order.at);
  const slices = Array.from({ length: 60 }, (_, index) => startMs - 3_000 + index * SLICE_MS);
  const line = (q: number): [number, number][] =>
    slices.flatMap((fromMs): [number, number][] => {
      const values = between(timeline, fromMs, fromMs + SLICE_MS);
      return values.length === 0 ? [] : [[(fromMs - startMs) / 1_000, quantile(values, q) / 1_000]];
    });
  return {
    title: 'GET latency around a shed order of a tenth of 1 GiB',
    xLabel: `seconds from the order, which took ${Math.round(order.tookMs)} ms`,
    yLabel: `ms, by slices of ${SLICE_MS} ms`,
    series: [
      { label: 'p99', points: line(0.99) },
      { label: 'median', points: line(0.5) },
    ],
  };
}
