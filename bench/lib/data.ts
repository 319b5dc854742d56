/**
 * Keys, values and random numbers. All are pure functions of an index, so every run uses the same ones, any answer can
 * be checked without a record of what was stored, and only the measured cache holds them. They are made anew for each
 * operation, as a request's JSON would make them: a string that was used before carries its hash with it and can be
 * found by reference, which would flatter a `Map`.
 */
import { Buffer } from 'node:buffer';

export const KEY_BYTES = 16;
export const VALUE_BYTES = 100;

const POOL_BYTES = 2 ** 20;
/** A prime. Walking an index space by it visits every index once, far from its neighbours. */
const STRIDE = 15_485_863;
const HEX = Buffer.from('0123456789abcdef', 'latin1');
/** Characters that JSON does not escape. */
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const CITIES = ['Amsterdam', 'Berlin', 'Kyiv', 'Lisbon', 'Nairobi', 'Osaka', 'Toronto'];

/** Murmur3's finaliser: a bijection on 32 bits, so different indices stay different. */
export function mix32(n: number): number {
  let h = n | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
for (let i = 0; i < POOL_BYTES; i++) pool[i] = LETTERS.charCodeAt(mix32(i + 0x5bd1e995) % LETTERS.length);

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

/** The value of the `version`th PUT of an index; a flat string that no other call returns a reference to. */
export function valueOf(index: number, version = 0, bytes = VALUE_BYTES): string {
  const offset = mix32(index ^ Math.imul(version + 1, 0x9e3779b1)) % (POOL_BYTES - bytes);
  return pool.toString('latin1', offset, offset + bytes);
}

/** Records as an API would return them: gzip makes about a quarter of such text. */
export function jsonText(seed: number, length: number): string {
  let text = '[';
  for (let step = seed * 1_000; text.length < length; step++) {
    const id = randomIndex(step, 1e9, 1);
    const record = {
      id,
      name: `customer-${id.toString(36)}`,
      city: CITIES[id % CITIES.length],
      balance: randomIndex(step, 1e6, 2) / 100,
      isActive: randomUnit(step, 3) < 0.8,
      createdAt: new Date(1.7e12 + randomUnit(step, 4) * 5e10).toISOString(),
    };
    text += `${JSON.stringify(record)},`;
  }
  return text.slice(0, length);
}

/** How long values are: as a cache's usually are (log-uniform), or as they rarely are but cost most (uniform). */
export type Sizes = '100 B' | 'log-uniform' | 'uniform';

/** The value of an index's `version`th PUT, of 100 B, or of 10 B to 100 KB. */
export function sizedValueOf(sizes: Sizes, index: number, version: number): string {
  if (sizes === '100 B') return valueOf(index, version);
  const unit = randomUnit(index, Math.imul(version, 0x85ebca6b));
  const bytes = Math.round(sizes === 'uniform' ? 10 + unit * 99_990 : 10 * 10_000 ** unit);
  return valueOf(index, version, bytes);
}

/** A random index below `count`; the same for the same `step` and `salt`. */
export function randomIndex(step: number, count: number, salt: number): number {
  return mix32(step ^ salt) % count;
}

/** A random number in [0, 1); the same for the same `step` and `salt`. */
export function randomUnit(step: number, salt: number): number {
  return mix32(Math.imul(step, 0x9e3779b1) ^ salt) / 2 ** 32;
}

/** The `step`th index of a walk that visits each of `count` once, in an order that no cache could use. */
export function scatteredIndex(step: number, count: number): number {
  return (step * STRIDE) % count;
}
