import { assert } from '../../src/shared/assert.ts';
import { TAG_CHARACTERS } from '../../src/shared/segment-sizes.ts';
import { type BlockPool, blockOf, wordOf } from './block-pool.ts';
import type { Chain, ChainTable } from './chain-table.ts';
import {
  CHAIN,
  CHAIN_ID_BYTES,
  DEAD,
  EXPIRES,
  GZIP,
  INCOMPRESSIBLE,
  MAX_KEY_BYTES,
  NOT_TEXT,
  READ,
  TAG,
  TEXTS,
  VALUE_GZIP,
  checkOf,
  contentBytesAt,
  entryBytes,
  entryBytesAt,
  expiresAtMs,
  flagsOf,
  gzipBytesAt,
  gzipWord,
  keyBytesOf,
  keyOffset,
  keyStartAt,
  livesOnAt,
  mayHaveKey,
  packWord1,
  setFlagAt,
  setLivesOnAt,
  textLengthsAt,
  textsWord,
  valueStartAt,
} from './entry-layout.ts';
import { type Metadata, NO_METADATA, packLengths, textOf, unpackMetadata } from './metadata.ts';
import type { SlotTable } from './slot-table.ts';

/** Reads and writes entries in their blocks: a slot has the address, `entry-layout.ts` says what lies there. */
export class EntryCodec {
  private readonly blocks: BlockPool;
  private readonly slots: SlotTable;
  private readonly chains: ChainTable;

  constructor(blocks: BlockPool, slots: SlotTable, chains: ChainTable) {
    this.blocks = blocks;
    this.slots = slots;
    this.chains = chains;
  }

  key(slot: number): string {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const start = keyStartAt(words, at);
    return this.blocks.bytes[blockOf(address)].toString('latin1', start, start + keyBytesOf(words[at + 1]));
  }

  /** Whether the entry has this key. @param check the first eight bits of the key's hash. */
  hasKey(slot: number, key: string, check: number): boolean {
    const address = this.slots.address(slot);
    const block = blockOf(address);
    const at = wordOf(address);
    const words = this.blocks.words[block];
    // Key length and check are compared at once, so that another key in the chain costs one comparison.
    if (!mayHaveKey(words[at + 1], key.length, check)) return false;
    const bytes = this.blocks.bytes[block];
    const start = keyStartAt(words, at);
    for (let i = 0; i < key.length; i++) {
      if (bytes[start + i] !== key.charCodeAt(i)) return false;
    }
    return true;
  }

  /** Whether the entry has a key of this length, and with this check. */
  mayHaveKey(slot: number, keyBytes: number, check: number): boolean {
    const address = this.slots.address(slot);
    return mayHaveKey(this.blocks.words[blockOf(address)][wordOf(address) + 1], keyBytes, check);
  }

  valueBytes(slot: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    if ((flagsOf(words[at + 1]) & CHAIN) !== 0) return this.chains.at(this.chainIdAt(address)).bytes;
    return words[at + 2];
  }

  /** The number of the entry's chain, -1 where its value lies in its block. */
  chainId(slot: number): number {
    const address = this.slots.address(slot);
    const word1 = this.blocks.words[blockOf(address)][wordOf(address) + 1];
    return (flagsOf(word1) & CHAIN) === 0 ? -1 : this.chainIdAt(address);
  }

  /** The entry's chain, undefined where its value lies in its block. */
  chainOf(slot: number): Chain | undefined {
    const id = this.chainId(slot);
    return id < 0 ? undefined : this.chains.at(id);
  }

  /** Bytes of the entry: in its block, and in its chain where it has one. */
  bytes(slot: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const bytes = entryBytesAt(words, at);
    return (flagsOf(words[at + 1]) & CHAIN) === 0
      ? bytes
      : bytes + this.chains.at(this.chainIdAt(address)).bytes;
  }

  /** Only for a value that lies in its block, as `valueView`. */
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

  /** Copies the value to `target`, from `at` on. Only for a value that lies in its block. */
  copyValue(slot: number, target: Buffer, at: number): void {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const word = wordOf(address);
    const start = valueStartAt(words, word);
    this.blocks.bytes[blockOf(address)].copy(target, at, start, start + words[word + 2]);
  }

  metadata(slot: number): Metadata {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    if ((flags & (TEXTS | TAG | NOT_TEXT)) === 0) return NO_METADATA;
    const start = valueStartAt(words, at) + words[at + 2];
    const end = keyStartAt(words, at) + contentBytesAt(words, at, flags);
    const text = this.blocks.bytes[blockOf(address)].toString('latin1', start, end);
    return unpackMetadata(text, textLengthsAt(words, at, flags), (flags & NOT_TEXT) === 0);
  }

  /** Not a copy; undefined where there is no gzip form. */
  gzipView(slot: number): Buffer | undefined {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    if ((flags & GZIP) === 0) return undefined;
    const start = keyStartAt(words, at) + contentBytesAt(words, at, flags);
    return this.blocks.bytes[blockOf(address)].subarray(start, start + gzipBytesAt(words, at, flags));
  }

  hasFlag(slot: number, flag: number): boolean {
    const address = this.slots.address(slot);
    return (flagsOf(this.blocks.words[blockOf(address)][wordOf(address) + 1]) & flag) !== 0;
  }

  addFlag(slot: number, flag: number): void {
    const address = this.slots.address(slot);
    setFlagAt(this.blocks.words[blockOf(address)], wordOf(address), flag);
  }

  markRead(slot: number): void {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    // Written once, and read alone from then on.
    if ((flagsOf(words[at + 1]) & READ) === 0) setFlagAt(words, at, READ);
  }

  /** For how long the original of a copy lives on when the copy has expired. */
  livesOnMs(slot: number): number {
    const address = this.slots.address(slot);
    return livesOnAt(this.blocks.words[blockOf(address)], wordOf(address)) * 1000;
  }

  /** @param ms rounded down; `Infinity` for ever. Only for an entry that expires. */
  setLivesOn(slot: number, ms: number): void {
    const address = this.slots.address(slot);
    setLivesOnAt(this.blocks.words[blockOf(address)], wordOf(address), ms / 1000);
  }

  /** In ms since the epoch, `Infinity` where the entry does not expire. */
  expiryMs(slot: number): number {
    const address = this.slots.address(slot);
    return expiresAtMs(this.blocks.words[blockOf(address)], wordOf(address));
  }

  /** Bytes the entry takes in its block without a gzip form. */
  plainBytes(slot: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    return entryBytes(flags & ~GZIP, contentBytesAt(words, at, flags));
  }

  /** Bytes the entry would take in its block with a gzip form of `gzipBytes`. */
  bytesWithGzip(slot: number, gzipBytes: number): number {
    const address = this.slots.address(slot);
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const flags = flagsOf(words[at + 1]);
    return entryBytes(flags | GZIP, contentBytesAt(words, at, flags) + gzipBytes);
  }

  /**
   * Writes an entry at an allocated address, and gives the address to its slot.
   * @param check the first eight bits of the key's hash.
   * @param expiryMs in ms since the epoch, `Infinity` for none.
   */
  write(
    address: number,
    slot: number,
    key: string,
    check: number,
    value: string | Uint8Array,
    expiryMs: number,
    metadata?: Metadata,
  ): void {
    const block = blockOf(address);
    const words = this.blocks.words[block];
    const at = wordOf(address);
    const flags = entryFlags(expiryMs !== Infinity, metadata);
    assert(key.length <= MAX_KEY_BYTES, 'the length of a key has 13 bits');
    words[at] = slot;
    words[at + 1] = packWord1(key.length, flags, check);
    words[at + 2] = value.length;
    if (expiryMs !== Infinity) {
      words[at + 3] = Math.floor(expiryMs / 2 ** 32);
      words[at + 4] = expiryMs % 2 ** 32;
      this.noteExpiry(block, expiryMs);
    }
    const bytes = this.blocks.bytes[block];
    const start = at * 4 + keyOffset(flags);
    bytes.write(key, start, 'latin1');
    if (typeof value === 'string') bytes.write(value, start + key.length, 'latin1');
    else bytes.set(value, start + key.length);
    if (metadata !== undefined) {
      if ((flags & TEXTS) !== 0) words[at + textsWord(flags)] = packLengths(metadata);
      bytes.write(textOf(metadata), start + key.length + value.length, 'latin1');
    }
    this.slots.setAddress(slot, address);
  }

  /**
   * Writes a slot's entry once more, with a gzip form, at an allocated address. The bytes of the old one are dead.
   * @param formFlag VALUE_GZIP, or 0.
   */
  rewriteWithGzip(slot: number, to: number, gzip: Uint8Array, formFlag: number): void {
    const { blocks } = this;
    const address = this.slots.address(slot);
    const source = blocks.words[blockOf(address)];
    const from = wordOf(address);
    const target = blocks.words[blockOf(to)];
    const at = wordOf(to);
    const word1 = source[from + 1];
    const flags = (flagsOf(word1) & ~(INCOMPRESSIBLE | VALUE_GZIP)) | GZIP | formFlag;
    target[at] = slot;
    target[at + 1] = packWord1(keyBytesOf(word1), flags, checkOf(word1));
    // All other words stand before that of the gzip form, with one there already and without.
    for (let word = 2; word < gzipWord(flags); word++) target[at + word] = source[from + word];
    target[at + gzipWord(flags)] = gzip.length;
    const expiryMs = expiresAtMs(source, from);
    if (expiryMs !== Infinity) this.noteExpiry(blockOf(to), expiryMs);
    const contentBytes = contentBytesAt(source, from, flagsOf(word1));
    const sourceStart = keyStartAt(source, from);
    const targetStart = keyStartAt(target, at);
    const targetBytes = blocks.bytes[blockOf(to)];
    blocks.bytes[blockOf(address)].copy(targetBytes, targetStart, sourceStart, sourceStart + contentBytes);
    targetBytes.set(gzip, targetStart + contentBytes);
    this.slots.setAddress(slot, to);
    this.free(address);
  }

  /** Changes the slot that an entry names. */
  setSlot(address: number, slot: number): void {
    this.blocks.words[blockOf(address)][wordOf(address)] = slot;
  }

  /** Makes the bytes of an entry dead. @returns their number. */
  free(address: number): number {
    const words = this.blocks.words[blockOf(address)];
    const at = wordOf(address);
    const bytes = entryBytesAt(words, at);
    setFlagAt(words, at, DEAD);
    this.blocks.free(address, bytes);
    return bytes;
  }

  private chainIdAt(address: number): number {
    const start = valueStartAt(this.blocks.words[blockOf(address)], wordOf(address));
    return this.blocks.bytes[blockOf(address)].readUInt32BE(start);
  }

  /** Keeps the bounds of the blocks below an expiry time that was written. */
  noteExpiry(block: number, expiryMs: number): void {
    const { blocks } = this;
    if (expiryMs < blocks.earliestExpiryMs[block]) blocks.earliestExpiryMs[block] = expiryMs;
    if (expiryMs < blocks.soonestExpiryMs) blocks.soonestExpiryMs = expiryMs;
  }
}

/** What stands in a block in the place of a value that lies in a chain. */
export function chainIdText(id: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(CHAIN_ID_BYTES);
  bytes.writeUInt32BE(id);
  return bytes;
}

/** The flags of a new entry. */
export function entryFlags(expires: boolean, metadata: Metadata | undefined): number {
  const flags = expires ? EXPIRES : 0;
  if (metadata === undefined) return flags;
  const { tag, isText } = metadata;
  assert(tag === '' || tag.length === TAG_CHARACTERS, 'an entity tag has its length');
  return flags | (packLengths(metadata) === 0 ? 0 : TEXTS) | (tag === '' ? 0 : TAG) | (isText ? 0 : NOT_TEXT);
}
