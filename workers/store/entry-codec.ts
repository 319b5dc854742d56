import { type BlockPool, blockOf, wordOf } from './block-pool.ts';
import {
  DEAD,
  EXPIRES,
  GZIP,
  PLAIN,
  entryBytes,
  entryBytesAt,
  expiresAtMs,
  flagsOf,
  gzipBytesAt,
  keyBytesOf,
  keyOffset,
  keyStartAt,
  packWord1,
  tagOf,
  valueStartAt,
} from './entry-layout.ts';
import type { SlotTable } from './slot-table.ts';

/** Reads and writes entries in their blocks: a slot has the address, `entry-layout.ts` says what lies there. */
export class EntryCodec {
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;

  constructor(blocks: BlockPool, slots: SlotTable) {
    this.blocks = blocks;
    this.slots = slots;
  }

  key(slot: number): string {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = keyStartAt(words, at);
    return this.blocks.bytes[blockOf(address)].toString('latin1', start, start + keyBytesOf(words[at + 1]));
  }

  /** Whether the entry has this key. @param tag the first eight bits of the key's hash. */
  hasKey(slot: number, key: string, tag: number): boolean {
    const address = this.slots.address(slot);
    const block = blockOf(address);
    const at = wordOf(address);
    const words = this.blocks.words[block];
    // Key length and tag are compared at once, so that another key in the chain costs one comparison.
    if ((words[at + 1] & 0xff00ffff) >>> 0 !== packWord1(key.length, 0, tag)) return false;
    const bytes = this.blocks.bytes[block];
    const start = keyStartAt(words, at);
    for (let i = 0; i < key.length; i++) {
      if (bytes[start + i] !== key.charCodeAt(i)) return false;
    }
    return true;
  }

  valueBytes(slot: number): number {
    const address = this.slots.address(slot);
    return this.blocks.words[blockOf(address)][wordOf(address) + 2];
  }

  value(slot: number): string {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = valueStartAt(words, at);
    return this.blocks.bytes[blockOf(address)].toString('latin1', start, start + words[at + 2]);
  }

  /** Not a copy. */
  valueView(slot: number): Buffer {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = valueStartAt(words, at);
    return this.blocks.bytes[blockOf(address)].subarray(start, start + words[at + 2]);
  }

  /** Not a copy; undefined where there is no gzip form. */
  gzipView(slot: number): Buffer | undefined {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    if ((flags & GZIP) === 0) return undefined;
    const start = valueStartAt(words, at) + words[at + 2];
    return this.blocks.bytes[blockOf(address)].subarray(start, start + gzipBytesAt(words, at, flags));
  }

  hasFlag(slot: number, flag: number): boolean {
    const address = this.slots.address(slot);
    return (flagsOf(this.blocks.words[blockOf(address)][wordOf(address) + 1]) & flag) !== 0;
  }

  addFlag(slot: number, flag: number): void {
    const address = this.slots.address(slot);
    this.blocks.words[blockOf(address)][wordOf(address) + 1] |= flag << 16;
  }

  /** In ms since the epoch, `Infinity` where the entry does not expire. */
  expiryMs(slot: number): number {
    const address = this.slots.address(slot);
    return expiresAtMs(this.blocks.words[blockOf(address)], wordOf(address));
  }

  /** Bytes the entry would take in its block with a gzip form of `gzipBytes`; -1 for none. */
  bytesWith(slot: number, gzipBytes: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const word1 = words[at + 1];
    return entryBytes(keyBytesOf(word1), words[at + 2], (flagsOf(word1) & EXPIRES) !== 0, gzipBytes);
  }

  /** Writes an entry at an allocated address, and gives the address to its slot. */
  write(
    address: number,
    slot: number,
    key: string,
    tag: number,
    value: string | Uint8Array,
    expiryMs: number,
  ): void {
    const flags = expiryMs === Infinity ? 0 : EXPIRES;
    this.writeHeader(address, slot, packWord1(key.length, flags, tag), value.length, expiryMs);
    const bytes = this.blocks.bytes[blockOf(address)];
    const start = wordOf(address) * 4 + keyOffset(flags);
    bytes.write(key, start, key.length, 'latin1');
    if (typeof value === 'string') bytes.write(value, start + key.length, value.length, 'latin1');
    else bytes.set(value, start + key.length);
    this.slots.setAddress(slot, address);
  }

  /** Writes a slot's entry anew at an allocated address, with a gzip form. The old one becomes a hole. */
  rewriteWithGzip(slot: number, to: number, gzip: Uint8Array): void {
    const { blocks } = this;
    const address = this.slots.address(slot);
    const source = blocks.words[blockOf(address)];
    const at = wordOf(address);
    const word1 = source[at + 1];
    const keyBytes = keyBytesOf(word1);
    const valueBytes = source[at + 2];
    const flags = (flagsOf(word1) & (EXPIRES | PLAIN)) | GZIP;
    this.writeHeader(to, slot, packWord1(keyBytes, flags, tagOf(word1)), valueBytes, expiresAtMs(source, at));
    blocks.words[blockOf(to)][wordOf(to) + 3 + ((flags & EXPIRES) !== 0 ? 2 : 0)] = gzip.length;
    const target = blocks.bytes[blockOf(to)];
    const start = wordOf(to) * 4 + keyOffset(flags);
    const from = keyStartAt(source, at);
    blocks.bytes[blockOf(address)].copy(target, start, from, from + keyBytes + valueBytes);
    target.set(gzip, start + keyBytes + valueBytes);
    this.slots.setAddress(slot, to);
    this.free(address);
  }

  /** Changes the slot that an entry names. */
  setSlot(address: number, slot: number): void {
    this.blocks.words[blockOf(address)][wordOf(address)] = slot;
  }

  /** Makes a hole of an entry. @returns its bytes. */
  free(address: number): number {
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const bytes = entryBytesAt(words, at);
    words[at + 1] |= DEAD << 16;
    this.blocks.free(address, bytes);
    return bytes;
  }

  private writeHeader(
    address: number,
    slot: number,
    word1: number,
    valueBytes: number,
    expiryMs: number,
  ): void {
    const block = blockOf(address);
    const words = this.blocks.words[block];
    const at = wordOf(address);
    words[at] = slot;
    words[at + 1] = word1;
    words[at + 2] = valueBytes;
    if (expiryMs === Infinity) return;
    words[at + 3] = Math.floor(expiryMs / 2 ** 32);
    words[at + 4] = expiryMs % 2 ** 32;
    const { blocks } = this;
    if (expiryMs < blocks.earliestExpiryMs[block]) blocks.earliestExpiryMs[block] = expiryMs;
    if (expiryMs < blocks.soonestExpiryMs) blocks.soonestExpiryMs = expiryMs;
  }
}
