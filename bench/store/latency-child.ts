import { setImmediate as nextTurn } from 'node:timers/promises';
import { BLOCK_CHARGE_BYTES } from '../../src/shared/segment-sizes.ts';
import { collectGarbage, Measurement } from './child.ts';
import { type GcPauses, watchGc } from './gc-pauses.ts';
import { Histogram } from './histogram.ts';
import { OurStore } from './our-store.ts';
import { ProcessorWait } from './processor-wait.ts';
import type { SlowStep } from './recurring.ts';
import { keyOf, randomIndex, valueOf } from './workload.ts';

/**
 * Our store at full size: how long single operations take, each timed by itself on the monotonic clock.
 *
 * Other programs share the machine, and what they take from this thread looks like a slow operation. So how
 * long the thread has waited for a processor is read every `CHECK_EVERY` operations and again after any
 * operation longer than `SLOW_MS`: the difference was not that operation's own.
 *
 * Every round is the same sequence of operations on a store with the same seed. What the store itself takes long for
 * comes at the same operation each time; what the machine does, now here, now there.
 */
export interface LatencyJob {
  readonly entries: number;
  /** What displaces entries: their number, or the bytes they take. The others: see `measureMixed` and so on. */
  readonly limit: 'capacity' | 'ceiling' | 'mixed' | 'upkeep' | 'control';
}

export interface LatencyPhase {
  readonly phase: string;
  readonly operations: number;
  readonly p50Nanos: number;
  readonly p99Nanos: number;
  readonly p999Nanos: number;
  readonly p9999Nanos: number;
  readonly maxMs: number;
  /** The longest operation, less what the thread waited for a processor. */
  readonly maxOwnMs: number;
  /** Operations of more than 1 ms by the clock. */
  readonly slow: number;
  /** Those that still are without that waiting. */
  readonly slowSteps: readonly SlowStep[];
  readonly gc: GcPauses;
}

export interface LatencyResult {
  readonly phases: LatencyPhase[];
  readonly faults: string[];
}

const SLOW_MS = 1;
const CHECK_EVERY = 64;
/** A little less than an entry of 16 + 100 bytes takes, so that the ceiling is reached before the fill ends. */
const BYTES_PER_ENTRY = 140;
const SEED = [0x2f6e2b1, 0x9b05688c] as const;
const WARM_UP = 300_000;
const WARM_UP_CEILING_BYTES = 16 * 2 ** 20;
/** Between turns of the event loop, where the collector's pauses are reported. */
const TURN_EVERY = 100_000;

const processorWait = new ProcessorWait();

async function timePhase(
  phase: string,
  operations: number,
  prepare: (step: number) => void,
  operate: () => void,
): Promise<LatencyPhase> {
  collectGarbage();
  const gc = await watchGc();
  const histogram = new Histogram();
  const slowSteps: SlowStep[] = [];
  let [maxOwnMs, slow, waitedMs] = [0, 0, processorWait.totalMs()];
  for (let step = 0; step < operations; step++) {
    if (step % TURN_EVERY === 0) await nextTurn();
    if (step % CHECK_EVERY === 0) waitedMs = processorWait.totalMs();
    prepare(step);
    const from = performance.now();
    operate();
    const ms = performance.now() - from;
    histogram.record(ms * 1e6);
    if (ms < SLOW_MS) continue;
    const waitedBeforeMs = waitedMs;
    waitedMs = processorWait.totalMs();
    const ownMs = ms - Math.min(ms, waitedMs - waitedBeforeMs);
    slow++;
    if (ownMs >= SLOW_MS) slowSteps.push([step, ownMs]);
    maxOwnMs = Math.max(maxOwnMs, ownMs);
  }
  const maxMs = histogram.maxNanos / 1e6;
  return {
    phase,
    operations,
    p50Nanos: histogram.quantileNanos(0.5),
    p99Nanos: histogram.quantileNanos(0.99),
    p999Nanos: histogram.quantileNanos(0.999),
    p9999Nanos: histogram.quantileNanos(0.9999),
    maxMs,
    // Operations quicker than `SLOW_MS` are not looked into.
    maxOwnMs: Math.max(maxOwnMs, Math.min(maxMs, SLOW_MS)),
    slow,
    slowSteps,
    gc: await gc.stop(),
  };
}

/** Phases over one store, and what was found wrong on the way. */
class Run {
  readonly phases: LatencyPhase[] = [];
  readonly faults: string[] = [];
  private readonly store: OurStore;
  private key = '';
  private value = '';
  private found = 0;

  constructor(store: OurStore) {
    this.store = store;
  }

  async put(phase: string, operations: number, indexOf: (step: number) => number): Promise<void> {
    const prepare = (step: number): void => {
      const index = indexOf(step);
      this.key = keyOf(index);
      this.value = valueOf(index, 0);
    };
    this.phases.push(await timePhase(phase, operations, prepare, () => this.store.put(this.key, this.value)));
  }

  /** @returns how many were found. */
  async get(phase: string, operations: number, indexOf: (step: number) => number): Promise<number> {
    this.found = 0;
    const operate = (): void => {
      if (this.store.get(this.key) !== undefined) this.found++;
    };
    this.phases.push(await timePhase(phase, operations, this.keyMaker(indexOf), operate));
    return this.found;
  }

  async delete(phase: string, operations: number, indexOf: (step: number) => number): Promise<void> {
    const operate = (): void => void this.store.delete(this.key);
    this.phases.push(await timePhase(phase, operations, this.keyMaker(indexOf), operate));
  }

  async do(phase: string, operations: number, operate: () => void): Promise<void> {
    this.phases.push(await timePhase(phase, operations, () => undefined, operate));
  }

  expect(condition: boolean, fault: string): void {
    if (!condition) this.faults.push(fault);
  }

  /** New entries must be there with their own values, and every part of the store agree with the others. */
  finish(unusedIndex: number): LatencyResult {
    for (let index = unusedIndex; index < unusedIndex + 1_000; index++) {
      this.store.put(keyOf(index), valueOf(index, 2));
      this.expect(this.store.get(keyOf(index)) === valueOf(index, 2), `a wrong value for key ${index}`);
    }
    this.store.checkIntegrity();
    return { phases: this.phases, faults: this.faults.slice(0, 5) };
  }

  private keyMaker(indexOf: (step: number) => number): (step: number) => void {
    return (step) => {
      this.key = keyOf(indexOf(step));
    };
  }
}

/** A cache with a capacity: the least recently used entry makes room for each new one. */
async function measureCapacity(entries: number): Promise<LatencyResult> {
  const store = new OurStore({ maxEntries: entries, seed: SEED });
  const run = new Run(store);
  const half = Math.floor(entries / 2);
  await run.put('fill', entries, (step) => step);
  run.expect(store.count() === entries, `${store.count()} entries after ${entries} puts`);
  const found = await run.get('get', half, (step) => randomIndex(step, entries, 0x51ed270b));
  run.expect(found === half, `${half - found} misses among hits`);
  // One in two a new key, which displaces the least recently used, one in two a key that is likely there.
  const mixed = (step: number): number =>
    step % 2 === 0 ? entries + step : randomIndex(step, entries, 0x2545f491);
  await run.put('overwrite and displace', entries, mixed);
  run.expect(store.count() === entries, `${store.count()} entries with room for ${entries}`);
  await run.delete('delete', half, (step) => randomIndex(step, 2 * entries, 0x1b873593));
  return run.finish(2 * entries);
}

/** A cache at its ceiling of bytes, after reads have scattered the least recently used over all blocks. */
async function measureCeiling(entries: number): Promise<LatencyResult> {
  const store = new OurStore({ ceilingBytes: entries * BYTES_PER_ENTRY, seed: SEED });
  const run = new Run(store);
  await run.put('fill to the ceiling', entries, (step) => step);
  const held = store.count();
  run.expect(held > entries * 0.8, `${held} entries of ${entries} in ${BYTES_PER_ENTRY} bytes each`);
  const oldest = entries - held;
  await run.get('get', held, (step) => oldest + randomIndex(step, held, 0x51ed270b));
  await run.put('displace at the ceiling', Math.floor(entries / 2), (step) => entries + step);
  run.expect(store.count() > held * 0.8, `${store.count()} entries where there were ${held}`);
  return run.finish(2 * entries);
}

const MOST_LARGE_PUTS = 400;
/** Of the ceiling, what those of one size may take: they are to displace small entries, not each other. */
const LARGE_SHARE = 1 / 4;

/** Large values at the ceiling: each displaces as many small entries as it is larger than they. */
async function measureMixed(entries: number): Promise<LatencyResult> {
  const store = new OurStore({ ceilingBytes: entries * BYTES_PER_ENTRY, seed: SEED });
  const run = new Run(store);
  for (let i = 0; i < entries; i++) store.put(keyOf(i), valueOf(i, 0));
  const held = store.count();
  for (let i = 0; i < held; i++) store.get(keyOf(entries - held + randomIndex(i, held, 0x51ed270b)));
  for (const kib of [16, 128, 1024]) {
    const value = 'x'.repeat(kib * 2 ** 10);
    const puts = Math.min(
      MOST_LARGE_PUTS,
      Math.floor((entries * BYTES_PER_ENTRY * LARGE_SHARE) / value.length),
    );
    let put = 0;
    await run.do(`put of ${kib} KiB`, puts, () => store.put(`${kib} KiB, ${put++}`, value));
    run.expect(store.get(`${kib} KiB, ${put - 1}`) === value, `a wrong value of ${kib} KiB`);
  }
  return run.finish(2 * entries);
}

/** As much as a shard does between two looks at the clock. */
const UPKEEP_STEP_BYTES = 2 ** 15;
const TTL_MS = 1000;

/** What nobody waits for: entries that expire unasked, and the memory of all that was cleared. */
async function measureUpkeep(entries: number): Promise<LatencyResult> {
  let nowMs = Date.now();
  const store = new OurStore({ seed: SEED, now: () => nowMs });
  const run = new Run(store);
  for (let i = 0; i < entries; i++) store.put(keyOf(i), valueOf(i, 0), TTL_MS);
  const steps = Math.ceil((entries * BYTES_PER_ENTRY) / UPKEEP_STEP_BYTES);
  await run.do('sweep, nothing is due', steps, () => store.maintain(UPKEEP_STEP_BYTES));
  run.expect(store.count() === entries, `${store.count()} of ${entries} entries before any is due`);
  nowMs += TTL_MS;
  await run.do('sweep, 32 KiB of expired entries', steps, () => store.maintain(UPKEEP_STEP_BYTES));
  while (store.maintain(UPKEEP_STEP_BYTES));
  run.expect(store.count() === 0, `${store.count()} entries after all have expired`);
  for (let i = 0; i < entries; i++) store.put(keyOf(i), valueOf(i, 0));
  await run.do('clear', 1, () => void store.clear());
  const pieces = Math.ceil(store.stats().reservedBytes / BLOCK_CHARGE_BYTES);
  await run.do('give a block back after clear', pieces, () => store.maintain(UPKEEP_STEP_BYTES));
  return run.finish(entries);
}

const CONTROL_BLOCK_BYTES = 2 ** 20;
const PAGE_BYTES = 4096;
const SMALL_WORDS = 4096;
/** Rounds of arithmetic that take about as long as a PUT. */
const CONTROL_ROUNDS = 400;
/** Steps of each phase per entry: as a pause of the machine comes once in a minute, it runs about as long as the store. */
const CONTROL_STEPS_PER_ENTRY = 5;

/**
 * What the machine alone does to operations of this length: arithmetic in a little memory that is in use, and
 * the same while fresh pages are touched as often as a fill of the store touches them.
 */
async function measureControl(entries: number): Promise<LatencyResult> {
  const words = new Uint32Array(SMALL_WORDS);
  const work = (step: number): void => {
    for (let i = 0; i < CONTROL_ROUNDS; i++) words[(step + i) % SMALL_WORDS] += i;
  };
  let current = 0;
  const next = (step: number): void => {
    current = step;
  };
  /** As many as the store holds of them; the oldest gives way to the next. */
  const blocks: Uint8Array[] = [];
  const mostBlocks = Math.ceil((entries * BYTES_PER_ENTRY) / CONTROL_BLOCK_BYTES);
  let block = new Uint8Array(CONTROL_BLOCK_BYTES);
  let [taken, reservedBytes] = [0, 0];
  const touch = (): void => {
    work(current);
    const at = current * BYTES_PER_ENTRY;
    if (at >= reservedBytes) {
      block = new Uint8Array(CONTROL_BLOCK_BYTES);
      blocks[taken++ % mostBlocks] = block;
      reservedBytes += CONTROL_BLOCK_BYTES;
    }
    if (at % PAGE_BYTES < BYTES_PER_ENTRY) block[at % CONTROL_BLOCK_BYTES] = 1;
  };
  const steps = entries * CONTROL_STEPS_PER_ENTRY;
  const phases = [
    await timePhase('arithmetic', steps, next, () => work(current)),
    await timePhase('arithmetic, fresh pages', steps, next, touch),
  ];
  return { phases, faults: [] };
}

/** A server has compiled this code long before it holds millions of entries. */
function warmUp(): void {
  const store = new OurStore({ ceilingBytes: WARM_UP_CEILING_BYTES });
  for (let i = 0; i < WARM_UP; i++) {
    store.put(keyOf(i), valueOf(i, 0));
    store.get(keyOf(randomIndex(i, i + 1, 0)));
    if (i % 4 === 0) store.delete(keyOf(randomIndex(i, i + 1, 1)));
  }
}

const MEASURES = {
  control: measureControl,
  capacity: measureCapacity,
  ceiling: measureCeiling,
  mixed: measureMixed,
  upkeep: measureUpkeep,
};

function measure({ entries, limit }: LatencyJob): Promise<LatencyResult> {
  if (limit !== 'control') warmUp();
  return MEASURES[limit](entries);
}

export const latency = new Measurement<LatencyJob, LatencyResult>(import.meta.url, measure);
if (import.meta.main) await latency.serve();
