import { randomInt } from 'node:crypto';
import { collectGarbage, Measurement } from './child.ts';
import { craftedSets, randomCounterpart, type KeySet } from './crafted-keys.ts';
import { OurStore } from './our-store.ts';

/** Whether keys made to collide cost our store more than random ones of the same length. */
export interface CraftedJob {
  readonly entries: number;
  readonly rounds: number;
}

export interface CraftedComparison {
  readonly name: string;
  readonly keyBytes: number;
  /** Keys put and got in each round: fewer where the attack is expected to work. */
  readonly keys: number;
  /** Put and get of every key, ns per key, round by round: crafted, random. */
  readonly craftedNanos: number[];
  readonly randomNanos: number[];
}

/** The value does not matter here: a short one leaves the index the larger part of the cost. */
const VALUE = 'v'.repeat(32);
/** Keys are made ahead of the timing, in batches small enough to stay in the processor's cache. */
const BATCH = 1_000;
/** Enough to show the attack work where it can; more would only take longer. */
const CONTROL_KEYS = 200_000;

function nanosPerKey(set: KeySet, keys: number, seed: readonly [number, number]): number {
  collectGarbage();
  const store = new OurStore({ seed });
  let micros = 0;
  const timed = (operate: (key: string) => void): void => {
    for (let first = 0; first < keys; first += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, keys - first) }, (_, i) => set.keyAt(first + i));
      const from = process.cpuUsage();
      for (const key of batch) operate(key);
      const { user, system } = process.cpuUsage(from);
      micros += user + system;
    }
  };
  timed((key) => store.put(key, VALUE));
  let found = 0;
  timed((key) => {
    if (store.get(key) === VALUE) found++;
  });
  if (found !== keys || store.count() !== keys)
    throw new Error(`${set.name}: ${found} of ${keys} keys found`);
  return (micros * 1_000) / keys;
}

function compare(
  crafted: KeySet,
  name: string,
  keys: number,
  rounds: number,
  seeded: boolean,
): CraftedComparison {
  const [craftedNanos, randomNanos]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const seed: [number, number] = seeded ? [randomInt(2 ** 32), randomInt(2 ** 32)] : [0, 0];
    const random = randomCounterpart(crafted, round + 1);
    const measureCrafted = (): void => void craftedNanos.push(nanosPerKey(crafted, keys, seed));
    // Which one goes first alternates: the second finds the machine as the first has left it.
    if (round % 2 === 0) measureCrafted();
    randomNanos.push(nanosPerKey(random, keys, seed));
    if (round % 2 === 1) measureCrafted();
  }
  return { name, keyBytes: crafted.keyAt(0).length, keys, craftedNanos, randomNanos };
}

function measure({ entries, rounds }: CraftedJob): CraftedComparison[] {
  const sets = craftedSets(entries);
  compare(sets[0], 'warm-up', Math.min(entries, 100_000), 1, true);
  const comparisons = sets.map((set) => compare(set, set.name, entries, rounds, true));
  // The proof that the keys are what they claim: to a store that did have a seed of zero they must be costly.
  const byBuckets = sets[2];
  const few = Math.min(entries, CONTROL_KEYS);
  const control = compare(byBuckets, `control: ${byBuckets.name}, and the seed is zero`, few, 1, false);
  return [...comparisons, control];
}

export const craftedKeys = new Measurement<CraftedJob, CraftedComparison[]>(import.meta.url, measure);
if (import.meta.main) await craftedKeys.serve();
