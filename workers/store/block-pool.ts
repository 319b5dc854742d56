import { assert } from '../../src/shared/assert.ts';
import { free } from '../../src/shared/free.ts';
import {
  BLOCK_BYTES,
  BLOCK_CHARGE_BYTES,
  OWN_BLOCK_BYTES,
  blockChargeBytes,
} from '../../src/shared/segment-sizes.ts';
import type { SegmentMemory } from './segment-memory.ts';

/**
 * The blocks of one segment: plain `ArrayBuffer`s, filled front to back, released with `transfer(0)`.
 *
 *     block   ├─ entry ─┼─ dead ─┼─ entry ─┼─ entry ─┤ ← filled          capacity ─┤
 *             live = bytes of the entries that are not dead
 *
 * An address is 32 bits: the block's id in the high 15, the offset in units of 8 bytes in the low 17. So a
 * shard can hold 32,767 blocks, nearly 32 GiB.
 *
 * An entry of 128 KiB or more has a block of its own. So a shard can hold 4 GiB of entries of just that size, and more
 * bytes of larger ones.
 */
export const NO_ADDRESS = 0xffffffff;

const OFFSET_BITS = 17;
const OFFSET_MASK = 2 ** OFFSET_BITS - 1;
const MAX_BLOCKS = 2 ** (32 - OFFSET_BITS) - 1;

export function blockOf(address: number): number {
  return address >>> OFFSET_BITS;
}

/** Index of the entry's first word in its block's `Uint32Array`. */
export function wordOf(address: number): number {
  return (address & OFFSET_MASK) << 1;
}

export function addressOf(block: number, offsetBytes: number): number {
  return ((block << OFFSET_BITS) | (offsetBytes >>> 3)) >>> 0;
}

const NO_WORDS = new Uint32Array(0);
const NO_BYTES = Buffer.alloc(0);

export class BlockPool {
  readonly words: Uint32Array<ArrayBuffer>[] = [];
  readonly bytes: Buffer[] = [];
  readonly filled: number[] = [];
  readonly live: number[] = [];
  /** Changes whenever a block is emptied, so that a walk under way can tell that its place is gone. */
  readonly generation: number[] = [];
  /** A lower bound of the expiry times in each block, ms since the epoch. */
  readonly earliestExpiryMs: number[] = [];
  /** A lower bound over all blocks: before that time there is no need to look at any. */
  soonestExpiryMs = Infinity;
  /** The block that small entries are appended to, -1 before the first. */
  openBlock = -1;
  liveBytes = 0;
  reservedBytes = 0;
  /** Bytes of all entries that were freed, since the start. */
  freedBytes = 0;

  private wasTight = false;
  private readonly freeIds: number[] = [];
  private readonly memory: SegmentMemory;
  /** True while one block is reserved for cleaning: cleaning needs room to move entries to even when memory is full. */
  private cleaningReserve = false;
  /**
   * The memory of a released block, kept for the next block. The charge of the cleaning reserve covers it. To touch a
   * page for the first time costs more than all the rest of a PUT. With this block, PUTs that evict as much as they
   * store seldom do.
   */
  private spare: ArrayBuffer | undefined;

  constructor(memory: SegmentMemory) {
    this.memory = memory;
    this.cleaningReserve = memory.tryReserve(BLOCK_CHARGE_BYTES);
    assert(this.cleaningReserve, 'the guarantee covers the cleaning reserve');
  }

  /** True when the ceiling was near as a block was last taken or released, and is still near. */
  get isTight(): boolean {
    return this.wasTight && this.memory.isTight;
  }

  /** What the ledger holds for this pool. */
  get chargedBytes(): number {
    return this.reservedBytes + (this.cleaningReserve ? BLOCK_CHARGE_BYTES : 0);
  }

  /** False when memory is kept that the ledger does not count. */
  get isSpareCharged(): boolean {
    return this.cleaningReserve || this.spare === undefined;
  }

  /** Bytes of the blocks that no entry uses: of removed entries, and the unused rest of each block. */
  get fragmentedBytes(): number {
    return this.reservedBytes - this.liveBytes;
  }

  get blocks(): number {
    return this.words.length;
  }

  capacity(block: number): number {
    return this.words[block].byteLength;
  }

  /**
   * Room for one entry of `bytes` (a multiple of 8).
   * @returns its address, or NO_ADDRESS when it needs a new block and the ledger refuses it.
   */
  allocate(bytes: number): number {
    if (bytes >= OWN_BLOCK_BYTES) {
      const own = this.addBlock(bytes, blockChargeBytes(bytes));
      return own < 0 ? NO_ADDRESS : this.append(own, bytes);
    }
    if (!this.fitsOpenBlock(bytes)) {
      const next = this.addBlock(BLOCK_BYTES, BLOCK_CHARGE_BYTES);
      if (next < 0) return NO_ADDRESS;
      this.switchOpenBlock(next);
    }
    return this.append(this.openBlock, bytes);
  }

  /** As `allocate`, but may take the cleaning reserve: for moving an entry out of a block that is being cleaned. */
  allocateForCleaning(bytes: number): number {
    const address = this.allocate(bytes);
    if (address !== NO_ADDRESS || !this.cleaningReserve) return address;
    this.memory.release(BLOCK_CHARGE_BYTES);
    this.cleaningReserve = false;
    const retried = this.allocate(bytes);
    // Another shard may have been quicker. Then the reserve is taken back when a block is released.
    if (retried === NO_ADDRESS) this.refillCleaningReserve();
    // An entry with a block of its own has not used the spare memory, which is no longer charged.
    if (!this.cleaningReserve) this.dropSpare();
    return retried;
  }

  /** Counts the bytes of an entry as dead; a block without a live entry is released at once. */
  free(address: number, bytes: number): void {
    const block = blockOf(address);
    this.liveBytes -= bytes;
    this.freedBytes += bytes;
    this.live[block] -= bytes;
    if (this.live[block] > 0) return;
    assert(this.live[block] === 0, 'a block has no fewer live bytes than none');
    if (block === this.openBlock) {
      // It has no live entry, so it is filled again from the front. Its pages are in memory already.
      this.filled[block] = 0;
      this.generation[block]++;
      this.earliestExpiryMs[block] = Infinity;
    } else {
      this.releaseBlock(block);
    }
  }

  /** Empties all blocks. Their memory goes back later. */
  clear(): void {
    for (let block = 0; block < this.blocks; block++) {
      if (!this.isInUse(block)) continue;
      const chargeBytes = blockChargeBytes(this.capacity(block));
      this.memory.giveBackLater(this.vacate(block), chargeBytes);
    }
    this.dropSpare();
    this.openBlock = -1;
    this.liveBytes = 0;
    this.wasTight = false;
    this.refillCleaningReserve();
  }

  /** Gives back the memory that is kept for the next block, if there is any. */
  dropSpare(): void {
    if (this.spare) free(this.spare);
    this.spare = undefined;
  }

  isInUse(block: number): boolean {
    return this.words[block] !== NO_WORDS;
  }

  private fitsOpenBlock(bytes: number): boolean {
    return this.openBlock >= 0 && this.filled[this.openBlock] + bytes <= this.capacity(this.openBlock);
  }

  private switchOpenBlock(next: number): void {
    const full = this.openBlock;
    this.openBlock = next;
    if (full >= 0 && this.live[full] === 0) this.releaseBlock(full);
  }

  private append(block: number, bytes: number): number {
    const offset = this.filled[block];
    this.filled[block] = offset + bytes;
    this.live[block] += bytes;
    this.liveBytes += bytes;
    return addressOf(block, offset);
  }

  private addBlock(capacityBytes: number, chargeBytes: number): number {
    if (this.freeIds.length === 0 && this.blocks === MAX_BLOCKS) return -1;
    if (!this.memory.tryReserve(chargeBytes)) return -1;
    const buffer = this.takeSpare(capacityBytes) ?? new ArrayBuffer(capacityBytes);
    const block = this.freeIds.pop() ?? this.blocks;
    this.words[block] = new Uint32Array(buffer);
    this.bytes[block] = Buffer.from(buffer);
    this.filled[block] = 0;
    this.live[block] = 0;
    this.generation[block] ??= 0;
    this.earliestExpiryMs[block] = Infinity;
    this.reservedBytes += chargeBytes;
    this.wasTight = this.memory.isTight;
    return block;
  }

  private releaseBlock(block: number): void {
    const chargeBytes = blockChargeBytes(this.capacity(block));
    const buffer = this.vacate(block);
    this.memory.release(chargeBytes);
    this.refillCleaningReserve();
    if (this.cleaningReserve && this.spare === undefined && buffer.byteLength === BLOCK_BYTES) {
      this.spare = buffer;
    } else {
      free(buffer);
    }
    this.wasTight = this.memory.isTight;
  }

  /** Takes a block out of use. @returns its memory, which is still charged. */
  private vacate(block: number): ArrayBuffer {
    const { buffer } = this.words[block];
    this.reservedBytes -= blockChargeBytes(this.capacity(block));
    this.words[block] = NO_WORDS;
    this.bytes[block] = NO_BYTES;
    this.filled[block] = 0;
    this.live[block] = 0;
    this.generation[block]++;
    this.earliestExpiryMs[block] = Infinity;
    this.freeIds.push(block);
    return buffer;
  }

  private takeSpare(capacityBytes: number): ArrayBuffer | undefined {
    if (capacityBytes !== BLOCK_BYTES) return undefined;
    const { spare } = this;
    this.spare = undefined;
    return spare;
  }

  private refillCleaningReserve(): void {
    if (!this.cleaningReserve) {
      this.cleaningReserve = this.memory.tryReserve(BLOCK_CHARGE_BYTES);
    }
  }
}
