import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { inFreshProcess } from '../lib/child.ts';
import { keyOf, randomIndex, type Sizes, sizedValueOf } from '../lib/data.ts';
import { OurStore } from '../lib/product.ts';
import { ProcessorWait } from '../lib/usage.ts';
import { settledRssBytes, stretchHeap } from './footprint.ts';

interface ShedJob {
  readonly sizes: Sizes;
  readonly heldBytes: number;
  /** Whether reads have scattered the least recently used entries over all blocks, as they do in use. */
  readonly isScattered: boolean;
}

/** One shed order: what it gives back to the system, how soon, and how long it keeps the thread at a time. */
export interface ShedResult {
  readonly reservedBytes: number;
  readonly shedEntries: number;
  /** How much lower resident memory was after a second, in % of what was reserved. */
  readonly rssDropPercent: number;
  readonly totalMs: number;
  readonly slices: number;
  readonly slowSlices: number;
  readonly longestMs: number;
  /** Without the time that the thread waited for a processor. */
  readonly longestOwnMs: number;
  readonly faults: readonly string[];
}

const SLOW_SLICE_MS = 3;
const SHED_FRACTION = 0.1;
const SAMPLE_STRIDE = 11;
const SECOND_MS = 1_000;
const WARM_UP_BYTES = 64 * 2 ** 20;

const processorWait = new ProcessorWait();

/** @returns how many entries were put. */
function fill({ sizes, heldBytes, isScattered }: ShedJob, store: OurStore): number {
  let puts = 0;
  for (; store.reservedBytes < heldBytes; puts++) {
    store.put(keyOf(puts), sizedValueOf(sizes, puts, 0));
  }
  if (isScattered) {
    for (let step = 0; step < puts; step++) store.get(keyOf(randomIndex(step, puts, 0x51ed270b)));
  }
  return puts;
}

/** @param betweenSlices is told how many ms after the order it is. */
async function runOrder(
  store: OurStore,
  orderedBytes: number,
  betweenSlices: (ms: number) => void,
): Promise<{ ms: number; ownMs: number }[]> {
  const slice = store.shed(orderedBytes);
  const slices = [];
  const fromMs = performance.now();
  for (let isDone = false; !isDone;) {
    const waitedMs = processorWait.totalMs();
    const startedMs = performance.now();
    isDone = slice();
    const ms = performance.now() - startedMs;
    slices.push({ ms, ownMs: Math.max(0, ms - (processorWait.totalMs() - waitedMs)) });
    await nextTurn();
    betweenSlices(performance.now() - fromMs);
  }
  return slices;
}

async function measure(job: ShedJob): Promise<ShedResult> {
  stretchHeap();
  // A small order before the one that counts: a server, too, has compiled this code when an order comes.
  const small = new OurStore();
  fill({ ...job, heldBytes: WARM_UP_BYTES, isScattered: true }, small);
  await runOrder(small, small.reservedBytes / 2, () => {});
  small.clear();

  const store = new OurStore();
  const puts = fill(job, store);
  const rssBefore = await settledRssBytes();
  const { reservedBytes } = store;
  let [totalMs, rssAfter]: [number, number | undefined] = [0, undefined];
  const slices = await runOrder(store, Math.floor(reservedBytes * SHED_FRACTION), (ms) => {
    totalMs = ms;
    if (ms >= SECOND_MS) rssAfter ??= process.memoryUsage.rss();
  });
  await delay(Math.max(0, SECOND_MS - totalMs));
  const rssDropBytes = rssBefore - (rssAfter ?? process.memoryUsage.rss());
  return {
    reservedBytes,
    shedEntries: puts - store.entries,
    rssDropPercent: (rssDropBytes / reservedBytes) * 100,
    totalMs,
    slices: slices.length,
    slowSlices: slices.filter(({ ownMs }) => ownMs > SLOW_SLICE_MS).length,
    longestMs: Math.max(...slices.map(({ ms }) => ms)),
    longestOwnMs: Math.max(...slices.map(({ ownMs }) => ownMs)),
    faults: findFaults(job, store, puts),
  };
}

/** What was not shed is whole; without reads, exactly the first ones put are gone. */
function findFaults({ sizes, isScattered }: ShedJob, store: OurStore, puts: number): string[] {
  const shed = puts - store.entries;
  for (let i = 0; i < puts; i += SAMPLE_STRIDE) {
    const value = store.get(keyOf(i));
    const isGone = value === undefined;
    if (!isScattered && isGone !== i < shed)
      return [`${shed} shed, but key ${i} is ${isGone ? '' : 'not '}gone`];
    if (!isGone && value !== sizedValueOf(sizes, i, 0)) return [`a wrong value for key ${i}`];
  }
  store.checkIntegrity();
  return [];
}

export const shed = inFreshProcess(import.meta, measure);
