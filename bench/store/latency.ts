/**
 * Our store at full size: how long single operations take. Every round is the same sequence of operations on a store
 * with the same seed. Where the store itself takes long, it does so at the same operation each time; the machine's
 * pauses come elsewhere.
 */
import { inFreshProcess } from '../lib/child.ts';
import { keyOf, randomIndex, valueOf } from '../lib/data.ts';
import { BLOCK_BYTES, OurStore, type StoreOptions } from '../lib/product.ts';
import { type Phase, timePhase } from './timing.ts';

/** A little less than an entry of 16 + 100 bytes takes, so that the ceiling is reached before the fill ends. */
const BYTES_PER_ENTRY = 140;
const SEED = [0x2f6e2b1, 0x9b05688c] as const;
const WARM_UP = 300_000;
const WARM_UP_CEILING_BYTES = 16 * 2 ** 20;

function asIs(step: number): number {
  return step;
}

function entryOf(index: number, version = 0): [key: string, value: string] {
  return [keyOf(index), valueOf(index, version)];
}

/** Phases over one store, and what was found wrong on the way. */
class Sequence {
  readonly store: OurStore;
  readonly phases: Phase[] = [];
  readonly faults: string[] = [];
  found = 0;

  constructor(options: StoreOptions) {
    this.store = new OurStore({ seed: SEED, ...options });
  }

  readonly put = (entry: readonly [key: string, value: string]): boolean =>
    this.store.put(entry[0], entry[1]);

  readonly get = (key: string): void => {
    if (this.store.get(key) !== undefined) this.found++;
  };

  fill(entries: number, ttlMs?: number): void {
    for (let i = 0; i < entries; i++) this.store.put(...entryOf(i), ttlMs);
  }

  async time<Item>(...phase: Parameters<typeof timePhase<Item>>): Promise<void> {
    this.phases.push(await timePhase(...phase));
  }

  expect(what: string, value: number, isRight: boolean): void {
    if (!isRight) this.faults.push(`${what}: ${value}`);
  }
}

/** A cache with a capacity: each new entry evicts the least recently used one. */
async function runCapacity(entries: number): Promise<Sequence> {
  const run = new Sequence({ maxEntries: entries });
  const { store } = run;
  const half = Math.floor(entries / 2);
  await run.time('fill', entries, (step) => entryOf(step), run.put);
  run.expect('entries after the fill', store.entries, store.entries === entries);
  await run.time('get', half, (step) => keyOf(randomIndex(step, entries, 0x51ed270b)), run.get);
  run.expect('hits', run.found, run.found === half);
  // Every second key is new and evicts an entry; the others are likely to be there.
  const mixed = (step: number): number =>
    step % 2 === 0 ? entries + step : randomIndex(step, entries, 0x2545f491);
  await run.time('overwrite and evict', entries, (step) => entryOf(mixed(step)), run.put);
  run.expect('entries at the capacity', store.entries, store.entries === entries);
  const anyKey = (step: number): string => keyOf(randomIndex(step, 2 * entries, 0x1b873593));
  await run.time('delete', half, anyKey, (key) => store.delete(key));
  return run;
}

/** A cache at its ceiling of bytes, after reads have scattered the least recently used entries over all blocks. */
async function runCeiling(entries: number): Promise<Sequence> {
  const run = new Sequence({ ceilingBytes: entries * BYTES_PER_ENTRY });
  await run.time('fill to the ceiling', entries, (step) => entryOf(step), run.put);
  const held = run.store.entries;
  run.expect('entries at the ceiling', held, held > entries * 0.8);
  await run.time('get', held, (step) => keyOf(entries - held + randomIndex(step, held, 0x51ed270b)), run.get);
  await run.time('evict at the ceiling', Math.floor(entries / 2), (step) => entryOf(entries + step), run.put);
  run.expect('entries after evictions', run.store.entries, run.store.entries > held * 0.8);
  return run;
}

const MAX_LARGE_PUTS = 400;
/** The share of the ceiling that those of one size may take: they are to evict small entries, not each other. */
const LARGE_SHARE = 1 / 4;

/** Large values at the ceiling: each evicts as many small entries as it is larger than they are. */
async function runMixed(entries: number): Promise<Sequence> {
  const ceilingBytes = entries * BYTES_PER_ENTRY;
  const run = new Sequence({ ceilingBytes });
  const { store } = run;
  run.fill(entries);
  const held = store.entries;
  for (let i = 0; i < held; i++) run.get(keyOf(entries - held + randomIndex(i, held, 0x51ed270b)));
  for (const kib of [16, 128, 1024]) {
    const value = 'x'.repeat(kib * 2 ** 10);
    const puts = Math.min(MAX_LARGE_PUTS, Math.floor((ceilingBytes * LARGE_SHARE) / value.length));
    await run.time(`put of ${kib} KiB`, puts, (step) => [`${kib} KiB, ${step}`, value] as const, run.put);
    run.expect('wrong value, KiB', kib, store.get(`${kib} KiB, ${puts - 1}`) === value);
  }
  return run;
}

/** As much as a shard does between two looks at the clock. */
const UPKEEP_STEP_BYTES = 2 ** 15;
const TTL_MS = 1000;

/** Work that no request waits for: entries that expire unasked, and the memory of all that was cleared. */
async function runUpkeep(entries: number): Promise<Sequence> {
  let nowMs = Date.now();
  const run = new Sequence({ now: () => nowMs });
  const { store } = run;
  const upkeep = (): boolean => store.maintain(UPKEEP_STEP_BYTES);
  run.fill(entries, TTL_MS);
  const steps = Math.ceil((entries * BYTES_PER_ENTRY) / UPKEEP_STEP_BYTES);
  await run.time('sweep, nothing is due', steps, asIs, upkeep);
  run.expect('entries before any is due', store.entries, store.entries === entries);
  nowMs += TTL_MS;
  await run.time('sweep, 32 KiB of expired entries', steps, asIs, upkeep);
  while (upkeep());
  run.expect('entries after all have expired', store.entries, store.entries === 0);
  run.fill(entries);
  await run.time('clear', 1, asIs, () => store.clear());
  const blocks = Math.ceil(store.reservedBytes / BLOCK_BYTES);
  await run.time('give a block back after clear', blocks, asIs, upkeep);
  return run;
}

const CONTROL_BLOCK_BYTES = 2 ** 20;
const PAGE_BYTES = 4096;
const SMALL_WORDS = 4096;
/** Loops of arithmetic that take about as long as a PUT. */
const CONTROL_LOOPS = 400;
/** The control runs about as long as the store does, since a pause of the machine may come once in a minute. */
const CONTROL_STEPS_PER_ENTRY = 5;

/**
 * What the machine alone does to operations of this length: arithmetic in a little memory that is in use, and the same
 * while fresh pages are touched as often as a fill of the store touches them.
 */
async function runControl(entries: number): Promise<Sequence> {
  const run = new Sequence({});
  const words = new Uint32Array(SMALL_WORDS);
  const work = (step: number): void => {
    for (let i = 0; i < CONTROL_LOOPS; i++) words[(step + i) % SMALL_WORDS] += i;
  };
  /** As many as the store holds; the oldest gives way to the next. */
  const blocks: Uint8Array[] = [];
  const maxBlocks = Math.ceil((entries * BYTES_PER_ENTRY) / CONTROL_BLOCK_BYTES);
  const touch = (step: number): void => {
    work(step);
    const at = step * BYTES_PER_ENTRY;
    const block = Math.floor(at / CONTROL_BLOCK_BYTES);
    const place = at % CONTROL_BLOCK_BYTES;
    if (place < BYTES_PER_ENTRY) blocks[block % maxBlocks] = new Uint8Array(CONTROL_BLOCK_BYTES);
    if (place % PAGE_BYTES < BYTES_PER_ENTRY) blocks[block % maxBlocks][place] = 1;
  };
  const steps = entries * CONTROL_STEPS_PER_ENTRY;
  await run.time('arithmetic', steps, asIs, work);
  await run.time('arithmetic, fresh pages', steps, asIs, touch);
  return run;
}

/** A server has compiled this code long before it holds millions of entries. */
function warmUp(): void {
  const store = new OurStore({ ceilingBytes: WARM_UP_CEILING_BYTES });
  for (let i = 0; i < WARM_UP; i++) {
    store.put(...entryOf(i));
    store.get(keyOf(randomIndex(i, i + 1, 0)));
    if (i % 4 === 0) store.delete(keyOf(randomIndex(i, i + 1, 1)));
  }
}

const RUNS = {
  control: runControl,
  capacity: runCapacity,
  ceiling: runCeiling,
  mixed: runMixed,
  upkeep: runUpkeep,
};
type LatencyKind = keyof typeof RUNS;
export const LATENCY_KINDS = Object.keys(RUNS) as LatencyKind[];

export type LatencyResult = Pick<Sequence, 'phases' | 'faults'>;

async function measure({ entries, kind }: { entries: number; kind: LatencyKind }): Promise<LatencyResult> {
  if (kind !== 'control') warmUp();
  const { store, phases, faults } = await RUNS[kind](entries);
  // New entries must be there with their own values, and every part of the store must agree with the others.
  for (let index = 2 * entries; index < 2 * entries + 1_000; index++) {
    const [key, value] = entryOf(index, 2);
    store.put(key, value);
    if (store.get(key) !== value) faults.push(`a wrong value for key ${index}`);
  }
  store.checkIntegrity();
  return { phases, faults: faults.slice(0, 5) };
}

export const latency = inFreshProcess(import.meta, measure);
