import { Buffer } from 'node:buffer';

/**
 * The keys and values every subject is given: made from an index on demand, so that nothing but the subject
 * holds them, and made afresh for every operation, as a request's JSON would make them. A string that was used
 * before carries its hash with it and can be found by reference, which would flatter a `Map`.
 */

export const KEY_BYTES = 16;
export const VALUE_BYTES = 100;

const POOL_BYTES = 1 << 20;
/** A prime: walking an index space by it visits every index once, far from its neighbours. */
const STRIDE = 15_485_863;
const HEX = Buffer.from('0123456789abcdef', 'latin1');

/** Murmur3's finaliser: a bijection on 32 bits, so different indices stay different. */
export function mix32(n: number): number {
  let h = n | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A pool of printable ASCII (0x20 to 0x7E), the same in every process. */
function makePool(): Buffer {
  const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  for (let i = 0; i < POOL_BYTES; i++) pool[i] = 0x20 + (mix32(i + 0x5bd1e995) % 95);
  return pool;
}

const pool = makePool();
const keyBytes = Buffer.allocUnsafeSlow(KEY_BYTES);

function writeHex(word: number, offset: number): void {
  let rest = word;
  for (let i = offset + 7; i >= offset; i--) {
    keyBytes[i] = HEX[rest & 15];
    rest >>>= 4;
  }
}

/** The 16-character key of an index; different indices below 2^32 have different keys. */
export function keyOf(index: number): string {
  writeHex(mix32(index), 0);
  writeHex(mix32(index ^ 0x3c6ef372), 8);
  return keyBytes.toString('latin1');
}

/** The value of an index in its `version`th life; a flat string no other call returns a reference to. */
export function valueOf(index: number, version: number, bytes = VALUE_BYTES): string {
  const offset = mix32(index ^ Math.imul(version + 1, 0x9e3779b1)) % (POOL_BYTES - bytes);
  return pool.toString('latin1', offset, offset + bytes);
}

/** A uniformly drawn index below `count`; the same for the same `step` and `salt`. */
export function randomIndex(step: number, count: number, salt: number): number {
  return mix32(step ^ salt) % count;
}

/** The `step`th index of a walk that visits each of `count` once, in no order a cache could use. */
export function scatteredIndex(step: number, count: number): number {
  return (step * STRIDE) % count;
}

/** A number in [0, 1) per step: what sizes and choices are drawn from. */
export function randomUnit(step: number, salt: number): number {
  return mix32(Math.imul(step, 0x9e3779b1) ^ salt) / 4_294_967_296;
}
