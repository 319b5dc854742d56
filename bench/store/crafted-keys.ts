import { Buffer } from 'node:buffer';
import { hashKey } from '../../src/shared/key-hash.ts';
import { keyOf, mix32 } from './workload.ts';

/**
 * Keys that an attacker would send, by what the attacker knows.
 *
 * - Against an unseeded hash that reads a key in steps (FNV-1a, Murmur3): pairs of four characters that lead
 *   from one state to the same next state are found by birthday search, twenty in a row. Any choice of one
 *   from each pair has the same hash: 2^20 keys, all 32 bits of the hash in common (A. Joux, "Multicollisions
 *   in iterated hash functions", 2004).
 * - Against our own function with the seed guessed to be zero: keys tried one by one, and kept when their hash
 *   lies in 1/64 of the buckets, by its low bits (the bucket) or by its high bits (the shard).
 */
export interface KeySet {
  readonly name: string;
  readonly count: number;
  keyAt(index: number): string;
}

const PAIRS = 20;
const STEP_CHARACTERS = 4;
const SUFFIX_BITS = 6;

type Step = (state: number, word: Buffer) => number;

function fnv1aStep(state: number, word: Buffer): number {
  let h = state;
  for (const byte of word) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

function murmur3Step(state: number, word: Buffer): number {
  let k = Math.imul(word.readInt32LE(0), 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = state ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) >>> 0;
}

/** Eight printable characters, so that Murmur3, of which one word is a bijection, can collide as well. */
const UNIT_CHARACTERS = 2 * STEP_CHARACTERS;

function unitOf(n: number): Buffer {
  return Buffer.from(`${(mix32(n) >>> 0).toString(36).padStart(7, '0')}${n % 10}`, 'latin1');
}

function collidingPair(state: number, step: Step): { pair: [Buffer, Buffer]; next: number } {
  const seen = new Map<number, number>();
  for (let n = 0; ; n++) {
    const unit = unitOf(n);
    const next = step(step(state, unit.subarray(0, STEP_CHARACTERS)), unit.subarray(STEP_CHARACTERS));
    const other = seen.get(next);
    if (other !== undefined) return { pair: [unitOf(other), unit], next };
    seen.set(next, n);
  }
}

function multicollision(name: string, seed: number, step: Step): KeySet {
  const pairs: [Buffer, Buffer][] = [];
  let state = seed;
  for (let i = 0; i < PAIRS; i++) {
    const found = collidingPair(state, step);
    pairs.push(found.pair);
    state = found.next;
  }
  const keyAt = (index: number): string => {
    const key = Buffer.allocUnsafe(PAIRS * UNIT_CHARACTERS);
    pairs.forEach((pair, i) => pair[(index >>> i) & 1].copy(key, i * UNIT_CHARACTERS));
    return key.toString('latin1');
  };
  for (const index of [1, 12_345, 2 ** PAIRS - 1]) {
    if (hashOf(keyAt(index), seed, step) !== hashOf(keyAt(0), seed, step)) throw new Error('no collision');
  }
  return { name, count: 2 ** PAIRS, keyAt };
}

function hashOf(key: string, seed: number, step: Step): number {
  const bytes = Buffer.from(key, 'latin1');
  let state = seed;
  for (let i = 0; i < bytes.length; i += STEP_CHARACTERS)
    state = step(state, bytes.subarray(i, i + STEP_CHARACTERS));
  return state;
}

function kept(name: string, count: number, isWanted: (hash: number) => boolean): KeySet {
  const indices = new Uint32Array(count);
  for (let i = 0, found = 0; found < count; i++) {
    if (isWanted(hashKey(keyOf(i), 0, 0))) indices[found++] = i;
  }
  return { name, count, keyAt: (index) => keyOf(indices[index]) };
}

export function craftedSets(count: number): KeySet[] {
  const lowBits = 2 ** SUFFIX_BITS - 1;
  return [
    { ...multicollision('one FNV-1a hash', 0x811c9dc5, fnv1aStep), count },
    { ...multicollision('one Murmur3 hash', 0, murmur3Step), count },
    kept('1/64 of the buckets, seed zero', count, (hash) => (hash & lowBits) === 0),
    kept('1/64 by the high bits, seed zero', count, (hash) => hash >>> (32 - SUFFIX_BITS) === 0),
  ];
}

/** Keys of the same lengths that nobody chose. */
export function randomCounterpart(crafted: KeySet, salt: number): KeySet {
  const length = crafted.keyAt(0).length;
  const keyAt = (index: number): string => {
    // 2^31 and more: none of the crafted keys, which are made from lower indices.
    const first = keyOf(2 ** 31 + (((salt & 15) << 27) | index));
    let key = first;
    while (key.length < length) key += keyOf(mix32(index + key.length * salt));
    // Read back from bytes: a string put together from parts costs its reader more than one that was received.
    return Buffer.from(key.slice(0, length), 'latin1').toString('latin1');
  };
  return { name: 'random', count: crafted.count, keyAt };
}
