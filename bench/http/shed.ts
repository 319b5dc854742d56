import { median, quantile } from '../lib/statistics.ts';
import type { LineChart } from '../lib/chart.ts';
import { valueOf } from './data.ts';
import type { LoadGenerator } from './load-generator.ts';
import { errorCount, type Timeline } from './measurement.ts';
import { keyValueCache } from './peers/node-peers.ts';
import { type Memory, put, readMemory } from './shed-server.ts';

/** What GETs felt of shed orders that each took a tenth of 1 GiB. */
export interface ShedResult {
  readonly orders: readonly OrderEffect[];
  /** Median over the orders of p99 during ÷ p99 just before. */
  readonly p99Ratio: number;
  readonly note: string;
  readonly chart: LineChart;
}

export interface OrderEffect {
  readonly beforeP99Micros: number;
  readonly duringP99Micros: number;
  readonly answersDuring: number;
  readonly errors: number;
  readonly tookMs: number;
  readonly longestSliceMs: number;
  readonly shedBytes: number;
  readonly shedEntries: number;
}

const MIB = 2 ** 20;
const ORDERS = 3;
/** The keys that are read: few, so that they stay the most recently used and are never shed. */
const READ_KEYS = 20_000;
/** Above 1 GiB of values: their keys and records, the process itself, and room for the heap to vary in. */
const THRESHOLD_BYTES = 1024 * MIB * 1.06 + 300 * MIB;
/** How far below the threshold the measurement begins: some seconds of the trickle that crosses it. */
const MARGIN_BYTES = 12 * MIB;
const MEASURED_SECONDS = 15;
const BEFORE_MS = 3_000;
const SLICE_MS = 100;

/**
 * Fills our server with 1 GiB, and while it serves GETs lets a trickle of PUTs cross the threshold, which leads to
 * one order each time. The trickle also runs before the order, so that the two windows differ by the order alone.
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
    const measure = (seconds: number): ReturnType<LoadGenerator['run']> =>
      generator.run({
        kind: 'measure',
        workload: 'get-hits',
        seconds,
        settleSeconds: 0.5,
        pids: server.pids,
        withTimeline: true,
        ...target,
      });
    await measure(4);
    const effects: OrderEffect[] = [];
    let chart: LineChart | undefined;
    for (let order = 1; order <= ORDERS; order++) {
      await fillUpTo(server.port, THRESHOLD_BYTES - MARGIN_BYTES);
      const measuring = measure(MEASURED_SECONDS);
      const memory = await trickleUntilOrder(server.port);
      const { timeline, errors } = await measuring;
      if (memory === undefined || timeline === undefined) {
        report(`shed: no order came in ${MEASURED_SECONDS} s of crossing the threshold`);
        continue;
      }
      const effect = effectOf(memory, timeline, errorCount({ errors }));
      effects.push(effect);
      chart ??= chartOf(memory, timeline);
      report(`shed: order ${order} of ${ORDERS}: ${inWords(effect)}`);
    }
    if (chart === undefined) return undefined;
    const ratios = effects.map((effect) => effect.duringP99Micros / effect.beforeP99Micros);
    return {
      orders: effects,
      p99Ratio: median(ratios),
      note: effects.map((effect) => `- ${inWords(effect)}`).join('\n'),
      chart,
    };
  } catch (error) {
    report(`shed: not measured: ${String(error)}`);
    return undefined;
  } finally {
    await server.stop();
  }
}

/** PUTs until about that much memory is used. */
async function fillUpTo(port: number, wantedBytes: number): Promise<void> {
  const value = valueOf('large', 0).slice(0, 64 * 1024);
  for (let index = 0; ; index++) {
    if (index % 16 === 0 && (await readMemory(port)).usedBytes >= wantedBytes) return;
    await put(port, `fill-${index}-${Date.now()}`, value);
  }
}

/** PUTs about 2 MiB a second, and more when that does not do, until an order was carried out and a second has gone by. */
async function trickleUntilOrder(port: number): Promise<Memory | undefined> {
  const before = await readMemory(port);
  const value = valueOf('medium', 0);
  const untilMs = Date.now() + (MEASURED_SECONDS - 1) * 1_000;
  let done: Memory | undefined;
  for (let index = 0; Date.now() < untilMs; index++) {
    for (let burst = 0; burst < 10; burst++)
      await put(port, `trickle-${index}-${burst}-${Date.now()}`, value);
    await new Promise((resolve) => {
      setTimeout(resolve, 45);
    });
    if (index % 5 !== 0) continue;
    const memory = await readMemory(port);
    // The count goes up when an order begins, `lastOrder` changes when it has ended.
    if (memory.orders === before.orders || memory.lastOrder?.at === before.lastOrder?.at) continue;
    done = memory;
    if (Date.now() - startOf(memory) - memory.lastOrder!.tookMs > 1_000) break;
  }
  return done;
}

function startOf(memory: Memory): number {
  return Date.parse(memory.lastOrder!.at);
}

/** Pure: the answers that came during the order against those of the seconds before it. */
function effectOf(memory: Memory, { atMs, latencyMicros }: Timeline, errors: number): OrderEffect {
  const { tookMs, longestSliceMs, shedBytes, shedEntries } = memory.lastOrder!;
  const startMs = startOf(memory);
  const during = between(atMs, latencyMicros, startMs, startMs + tookMs);
  return {
    beforeP99Micros: quantile(between(atMs, latencyMicros, startMs - BEFORE_MS, startMs), 0.99),
    duringP99Micros: quantile(during, 0.99),
    answersDuring: during.length,
    errors,
    tookMs,
    longestSliceMs,
    shedBytes,
    shedEntries,
  };
}

function between(atMs: Float64Array, values: Float64Array, fromMs: number, toMs: number): number[] {
  return Array.from(values).filter((_, index) => atMs[index] >= fromMs && atMs[index] < toMs);
}

function millis(micros: number): string {
  return (micros / 1_000).toFixed(2);
}

function inWords(effect: OrderEffect): string {
  return (
    `${Math.round(effect.shedBytes / MIB)} MiB in ${effect.shedEntries.toLocaleString('en-US')} entries shed in ` +
    `${Math.round(effect.tookMs)} ms (longest slice ${effect.longestSliceMs.toFixed(1)} ms); GET p99 ` +
    `${millis(effect.beforeP99Micros)} ms before, ${millis(effect.duringP99Micros)} ms during ` +
    `(${effect.answersDuring} answers${effect.errors > 0 ? `, ${effect.errors} errors` : ''})`
  );
}

function chartOf(memory: Memory, { atMs, latencyMicros }: Timeline): LineChart {
  const startMs = startOf(memory);
  const slices = Array.from({ length: 60 }, (_, index) => startMs - 3_000 + index * SLICE_MS);
  const line = (q: number): [number, number][] =>
    slices.flatMap((fromMs): [number, number][] => {
      const values = between(atMs, latencyMicros, fromMs, fromMs + SLICE_MS);
      return values.length === 0 ? [] : [[(fromMs - startMs) / 1_000, quantile(values, q) / 1_000]];
    });
  return {
    title: 'GET latency around a shed order of a tenth of 1 GiB',
    xLabel: `seconds from the order, which took ${Math.round(memory.lastOrder!.tookMs)} ms`,
    yLabel: `ms, by slices of ${SLICE_MS} ms`,
    series: [
      { label: 'p99', points: line(0.99) },
      { label: 'median', points: line(0.5) },
    ],
  };
}
