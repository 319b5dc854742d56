import { setTimeout as delay } from 'node:timers/promises';
import { startOurs } from '../lib/peers.ts';
import { say } from '../lib/progress.ts';
import { quantile } from '../lib/statistics.ts';
import { statsOf } from '../lib/stats.ts';
import type { Timeline } from './measurement.ts';
import type { LoadGenerator } from './run.ts';
import { WORKLOADS } from './workloads.ts';

/** What GETs feel of shed orders that each take a tenth of 1 GiB. */
export interface ShedResult {
  readonly orders: readonly Order[];
  /** Of all answers in the seconds before the orders, and of all during them. */
  readonly beforeP99Micros: number;
  readonly duringP99Micros: number;
  readonly failed: number;
}

/** As `/stats` has it. */
interface Order {
  readonly at: string;
  readonly tookMs: number;
  readonly longestSliceMs: number;
  readonly shedBytes: number;
}

const MIB = 2 ** 20;
const GET_HITS = WORKLOADS.find(({ name }) => name === 'get-hits')!;
/** The keys that are read: few, so that they stay the most recently used and are never shed. */
const READ_KEYS = 20_000;
/** Above 1 GiB of values: their keys and records, the process itself, and room for the heap to vary in. */
const THRESHOLD_BYTES = 1024 * MIB * 1.06 + 300 * MIB;
const THRESHOLD = 0.7;
/** Long enough for several orders: few GETs meet a single one, so a pause of the machine would decide its p99. */
const MEASURED_SECONDS = 90;
/** 12 MiB a second in few requests: an order takes ten seconds to come, and PUTs take little of the processor. */
const TRICKLE = { puts: 3, everyMs: 15 };
const VALUE = 'v'.repeat(64 * 1024);
const BEFORE_MS = 3_000;

/**
 * Fills our server with 1 GiB. While it serves GETs, a trickle of PUTs crosses the threshold again and again, which
 * leads to one order each time. The trickle never stops, so before and during differ only by the order.
 */
export async function measureShedding(generator: LoadGenerator): Promise<ShedResult> {
  const limitBytes = Math.round(THRESHOLD_BYTES / THRESHOLD);
  const settings = { MEMORY_LIMIT: `${limitBytes}`, MEMORY_THRESHOLD: `${THRESHOLD}`, SHED_FRACTION: '0.1' };
  const server = await startOurs(1, settings);
  const target = { port: server.port, dialect: 'cache', keyCount: READ_KEYS } as const;
  try {
    say('shed: filling with 1 GiB of 1 KiB values');
    for (const dataSet of ['gigabyte', 'small'] as const) {
      const { sample } = await generator.load({ dataSet, ...target });
      // A few failed PUTs do not matter: what is missing is put afterwards.
      if (sample.errors > sample.requests / 100) throw new Error('shed: too many PUTs failed');
    }
    // By the end of a first order the server has compiled the code for it.
    await putUntil(server.port, async () => (await lastOrder(server.port)) !== null);
    say(`shed: ${MEASURED_SECONDS} s of GETs, with an order about every ten`);
    const time = { seconds: MEASURED_SECONDS, settleSeconds: 0.5, pids: server.pids, withTimeline: true };
    const measuring = generator.measure({ workload: GET_HITS, ...time, ...target });
    const orders = await ordersOf(server.port, MEASURED_SECONDS * 1_000);
    const { timeline, sample } = await measuring;
    if (timeline === undefined || orders.length === 0) throw new Error('shed: no order came');
    return { orders, ...effectOf(orders, timeline), failed: sample.errors };
  } finally {
    await server.stop();
  }
}

async function lastOrder(port: number): Promise<Order | null> {
  const { memory } = await statsOf<{ memory: { lastOrder: Order | null } }>(port);
  return memory.lastOrder;
}

/** PUTs at a steady rate until `isDone`, which is asked now and then. */
async function putUntil(port: number, isDone: () => Promise<boolean>): Promise<void> {
  for (let index = 0; index % (10 * TRICKLE.puts) !== 0 || !(await isDone()); index++) {
    const response = await fetch(`http://127.0.0.1:${port}/cache`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key: `trickle-${performance.now()}`, value: VALUE }),
    });
    const body = await response.text();
    if (response.status !== 201) throw new Error(`shed: PUT answered ${response.status}: ${body}`);
    if (index % TRICKLE.puts === 0) await delay(TRICKLE.everyMs);
  }
}

/** @returns the orders that were carried out in a time in which PUTs never stopped. */
async function ordersOf(port: number, forMs: number): Promise<Order[]> {
  const orders = new Map<string, Order>();
  const first = await lastOrder(port);
  const untilMs = Date.now() + forMs;
  await putUntil(port, async () => {
    const order = await lastOrder(port);
    if (order !== null && order.at !== first?.at) orders.set(order.at, order);
    return Date.now() >= untilMs;
  });
  return [...orders.values()];
}

/** Pure: all answers that came during orders, and all that came in the seconds before them. */
export function effectOf(
  orders: readonly Pick<Order, 'at' | 'tookMs'>[],
  { atMs, latencyMicros }: Timeline,
): Pick<ShedResult, 'beforeP99Micros' | 'duringP99Micros'> {
  const p99 = (windows: readonly (readonly [number, number])[]): number => {
    const isInside = (at: number): boolean => windows.some(([from, to]) => at >= from && at < to);
    const inside = latencyMicros.filter((_, i) => isInside(atMs[i]));
    return quantile(inside, 0.99);
  };
  const times = orders.map(({ at, tookMs }) => ({ startMs: Date.parse(at), tookMs }));
  return {
    beforeP99Micros: p99(times.map(({ startMs }) => [startMs - BEFORE_MS, startMs])),
    duringP99Micros: p99(times.map(({ startMs, tookMs }) => [startMs, startMs + tookMs])),
  };
}
