import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { Measurement } from '../store/child.ts';
import { OurStore } from '../store/our-store.ts';
import { ProcessorWait } from '../store/processor-wait.ts';
import { keyOf, randomIndex, valueOf } from '../store/workload.ts';
import { SHED_SLICE_MS, ShedOrder } from '../../workers/shed-order.ts';
import { settledRssBytes, stretchHeap } from './footprint-child.ts';
import { type Sizes, valueBytesOf } from './value-sizes.ts';

/** One shed order: what it gives back to the system, how soon, and how long it keeps the thread at a time. */
export interface ShedJob {
  readonly sizes: Sizes;
  readonly heldBytes: number;
  /** Whether reads have scattered the least recently used entries over all blocks, as they do in use. */
  readonly isScattered: boolean;
}

export interface ShedResult {
  readonly entries: number;
  readonly reservedBytes: number;
  readonly orderedBytes: number;
  readonly shedBytes: number;
  readonly shedEntries: number;
  /**
   * Resident bytes fewer than before: one second after the order was given; when its slices had worked for one
   * second, the thread's waiting for a processor left out; and at the end.
   */
  readonly rssDropAfterSecondBytes: number;
  readonly rssDropAfterOwnSecondBytes: number;
  readonly rssDropAtEndBytes: number;
  readonly reservedDropBytes: number;
  readonly totalMs: number;
  readonly totalOwnMs: number;
  readonly slices: number;
  /** How many took more than 3 ms, waiting left out. */
  readonly slowSlices: number;
  /** Longest first, by the clock; `ownMs` is without what the thread waited for a processor. */
  readonly longestSlices: readonly Slice[];
  readonly longestOwnMs: number;
  readonly faults: string[];
}

const processorWait = new ProcessorWait();
const SHED_FRACTION = 0.1;
const SLOW_SLICE_MS = 3;
const SAMPLE_STRIDE = 11;
const SECOND_MS = 1_000;

interface Slice {
  readonly ms: number;
  readonly ownMs: number;
}

function fill({ sizes, heldBytes, isScattered }: ShedJob, store: OurStore): number {
  let puts = 0;
  for (; store.stats().reservedBytes < heldBytes; puts++) {
    store.put(keyOf(puts), valueOf(puts, 0, valueBytesOf(sizes, puts, 0)));
  }
  if (isScattered) {
    for (let step = 0; step < puts; step++) store.get(keyOf(randomIndex(step, puts, 0x51ed270b)));
  }
  return puts;
}

/** A small order before the one that counts: a server has compiled this code, too, when its order comes. */
async function warmUp(sizes: Sizes): Promise<void> {
  const store = new OurStore();
  fill({ sizes, heldBytes: 64 * 2 ** 20, isScattered: true }, store);
  await runOrder(store, store.stats().reservedBytes / 2, async () => {});
  store.segment.clear();
}

async function runOrder(
  store: OurStore,
  orderedBytes: number,
  betweenSlices: (ownMs: number) => Promise<void>,
): Promise<{ slices: Slice[]; shedBytes: number; shedEntries: number }> {
  const order = new ShedOrder(store.segment, orderedBytes);
  const slices: Slice[] = [];
  let totalOwnMs = 0;
  for (;;) {
    const waitedMs = processorWait.totalMs();
    const from = performance.now();
    const done = order.slice(SHED_SLICE_MS, () => performance.now());
    const ms = performance.now() - from;
    const ownMs = Math.max(0, ms - (processorWait.totalMs() - waitedMs));
    slices.push({ ms, ownMs });
    totalOwnMs += ownMs;
    if (done !== undefined) return { slices, shedBytes: done.shedBytes, shedEntries: done.shedEntries };
    await betweenSlices(totalOwnMs);
  }
}

async function measure(job: ShedJob): Promise<ShedResult> {
  stretchHeap();
  await warmUp(job.sizes);
  const store = new OurStore();
  const puts = fill(job, store);
  const rssBefore = await settledRssBytes();
  const { entries, reservedBytes } = store.stats();
  const orderedBytes = Math.floor(reservedBytes * SHED_FRACTION);

  const from = performance.now();
  let [rssAfterSecond, rssAfterOwnSecond]: (number | undefined)[] = [];
  const { slices, shedBytes, shedEntries } = await runOrder(store, orderedBytes, async (ownMs) => {
    await nextTurn();
    if (rssAfterSecond === undefined && performance.now() - from >= SECOND_MS) {
      rssAfterSecond = process.memoryUsage.rss();
    }
    if (rssAfterOwnSecond === undefined && ownMs >= SECOND_MS) rssAfterOwnSecond = process.memoryUsage.rss();
  });
  const totalMs = performance.now() - from;
  await delay(Math.max(0, SECOND_MS - totalMs));
  const rssAtEnd = process.memoryUsage.rss();
  const longest = slices.toSorted((a, b) => b.ms - a.ms);
  return {
    entries,
    reservedBytes,
    orderedBytes,
    shedBytes,
    shedEntries,
    rssDropAfterSecondBytes: rssBefore - (rssAfterSecond ?? rssAtEnd),
    rssDropAfterOwnSecondBytes: rssBefore - (rssAfterOwnSecond ?? rssAtEnd),
    rssDropAtEndBytes: rssBefore - rssAtEnd,
    reservedDropBytes: reservedBytes - store.stats().reservedBytes,
    totalMs,
    totalOwnMs: slices.reduce((sum, { ownMs }) => sum + ownMs, 0),
    slices: slices.length,
    slowSlices: slices.filter(({ ownMs }) => ownMs > SLOW_SLICE_MS).length,
    longestSlices: longest.slice(0, 10),
    longestOwnMs: Math.max(...slices.map(({ ownMs }) => ownMs)),
    faults: findFaults(job, store, puts, shedEntries),
  };
}

/** What was shed is gone, what was not is whole; without reads, exactly the first ones put are gone. */
function findFaults({ sizes, isScattered }: ShedJob, store: OurStore, puts: number, shed: number): string[] {
  if (store.count() !== puts - shed) return [`${store.count()} entries left of ${puts}, ${shed} shed`];
  for (let i = 0; i < puts; i += SAMPLE_STRIDE) {
    const value = store.get(keyOf(i));
    const isGone = value === undefined;
    if (!isScattered && isGone !== i < shed)
      return [`key ${i} of the first ${shed} to go: gone is ${isGone}`];
    if (!isGone && value !== valueOf(i, 0, valueBytesOf(sizes, i, 0))) return [`a wrong value for key ${i}`];
  }
  store.checkIntegrity();
  return [];
}

export const shed = new Measurement<ShedJob, ShedResult>(import.meta.url, measure);
if (import.meta.main) await shed.serve();
