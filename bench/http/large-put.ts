/** What other requests feel of a PUT of 1 MiB that evicts thousands of small entries: `npm run bench -- --only large-put`. */
import { setTimeout as delay } from 'node:timers/promises';
import { CacheClient } from '../../src/client/cache-client.ts';
import { keyOf as keyOfIndex, valueOf } from '../lib/data.ts';
import { type HttpServer, startOurs } from '../lib/peers.ts';
import { say } from '../lib/progress.ts';
import { median, quantile } from '../lib/statistics.ts';
import { statsOf } from '../lib/stats.ts';
import type { LoadGenerator } from './run.ts';
import { WORKLOADS } from './workloads.ts';

export interface LargePutResult {
  readonly entries: number;
  /** Of all PUTs of 1 MiB. */
  readonly largePuts: number;
  readonly largePutP50Millis: number;
  /** How many entries PUTs evicted, or shed orders. */
  readonly evicted: number;
  /** Medians over the rounds, of GETs and PUTs of 100 bytes: without PUTs of 1 MiB, and beside them. */
  readonly withoutP999Millis: number;
  readonly besideP999Millis: number;
  readonly failed: number;
}

const MIB = 2 ** 20;
const ENTRIES = 10_000_000;
const FILL_BATCH = 10_000;
/** What 10,000,000 entries need, so that they fill the cache: a PUT must evict. */
const MEMORY_LIMIT = `${1_700 * MIB}`;
/** Near the ceiling, so that both take part: PUTs that evict, and shed orders. */
const MEMORY_THRESHOLD = '0.95';
const READ_KEYS = 20_000;
/** Few, so that a request does not wait for others: at full load its latency is the length of the queue. */
const SMALL_REQUESTS = { ...WORKLOADS.find(({ name }) => name === 'mixed')!, connections: 4 };
const PUTS_PER_SECOND = 10;
const ROUNDS = 5;
const SECONDS = 10;

export async function measureLargePuts(generator: LoadGenerator): Promise<LargePutResult> {
  const server = await startOurs(1, { MEMORY_LIMIT, MEMORY_THRESHOLD });
  try {
    say(`large PUTs: filling with ${ENTRIES} entries`);
    await fill(server.port);
    const target = { port: server.port, dialect: 'cache', keyCount: READ_KEYS } as const;
    await generator.load({ dataSet: 'small', ...target });
    const before = await entriesOf(server.port);
    const rounds: { withoutMillis: number; besideMillis: number }[] = [];
    const largePutMillis: number[] = [];
    let failed = 0;
    const p999 = async (): Promise<number> => {
      const time = { seconds: SECONDS, settleSeconds: 0.5, pids: server.pids, withTimeline: true };
      const { timeline, sample } = await generator.measure({ workload: SMALL_REQUESTS, ...time, ...target });
      failed += sample.errors;
      return quantile(timeline!.latencyMicros, 0.999) / 1e3;
    };
    for (let round = 0; round < ROUNDS; round++) {
      const withoutMillis = await p999();
      const putting = putLarge(server, SECONDS, largePutMillis);
      const besideMillis = await p999();
      await putting;
      rounds.push({ withoutMillis, besideMillis });
      say(
        `large PUTs, round ${round + 1}: p99.9 ${withoutMillis.toFixed(2)} ms, beside them ${besideMillis.toFixed(2)} ms`,
      );
    }
    const after = await entriesOf(server.port);
    return {
      entries: before.entries,
      largePuts: largePutMillis.length,
      largePutP50Millis: median(largePutMillis),
      evicted: after.evicted - before.evicted,
      withoutP999Millis: median(rounds.map(({ withoutMillis }) => withoutMillis)),
      besideP999Millis: median(rounds.map(({ besideMillis }) => besideMillis)),
      failed,
    };
  } finally {
    await server.stop();
  }
}

/** PUTs small entries through the batching client until the cache holds them. */
async function fill(port: number): Promise<void> {
  const cache = new CacheClient(`http://127.0.0.1:${port}`);
  try {
    for (let first = 0; first < ENTRIES; first += FILL_BATCH) {
      const entries = Array.from({ length: FILL_BATCH }, (_, i) => ({
        key: keyOfIndex(first + i),
        value: valueOf(first + i),
      }));
      await cache.setMany(entries);
    }
  } finally {
    await cache.close();
  }
}

/** PUTs values of 1 MiB at a steady rate. @param tookMillis is given how long each took. */
async function putLarge({ port }: HttpServer, seconds: number, tookMillis: number[]): Promise<void> {
  const body = Buffer.alloc(MIB, 'v');
  const startMs = performance.now();
  for (let put = 0; put < seconds * PUTS_PER_SECOND; put++) {
    await delay(startMs + (put * 1_000) / PUTS_PER_SECOND - performance.now());
    const beganMs = performance.now();
    const response = await fetch(`http://127.0.0.1:${port}/kv/large-${beganMs}`, { method: 'PUT', body });
    if (response.status !== 201)
      throw new Error(`large PUTs: answered ${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
    tookMillis.push(performance.now() - beganMs);
  }
}

async function entriesOf(port: number): Promise<{ entries: number; evicted: number }> {
  const { totals } = await statsOf<{ totals: Record<'entries' | 'evicted' | 'shedEntries', number> }>(port);
  return { entries: totals.entries, evicted: totals.evicted + totals.shedEntries };
}
