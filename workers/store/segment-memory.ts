import { free } from '../../src/shared/free.ts';
import type { Ledger } from '../../src/shared/ledger.ts';

/**
 * The memory of one segment. Bytes are reserved in the ledger before they are taken, and released after they have gone
 * back to the system.
 *
 * Giving a gigabyte back takes a fifth of a second and more, so the memory of a cleared segment goes back in pieces.
 */
export class SegmentMemory {
  /** Reserved bytes of cleared memory that has not gone back yet. */
  leftoverBytes = 0;
  private readonly leftovers: { readonly buffer: ArrayBuffer; readonly chargeBytes: number }[] = [];
  private readonly ledger: Ledger;
  private readonly shard: number;

  constructor(ledger: Ledger, shard: number) {
    this.ledger = ledger;
    this.shard = shard;
  }

  /** True when the ceiling is near, and not only because of memory that is about to go back. */
  get isTight(): boolean {
    return this.leftoverBytes === 0 && this.ledger.isTight(this.shard);
  }

  /** Reserves bytes in the ledger. If it refuses, leftovers are given back until it does not. */
  tryReserve(bytes: number): boolean {
    while (!this.ledger.tryReserve(this.shard, bytes)) if (this.giveBackLeftover() === 0) return false;
    return true;
  }

  /** Releases bytes that were reserved without a buffer. */
  release(bytes: number): void {
    this.ledger.release(this.shard, bytes);
  }

  giveBack(buffer: ArrayBuffer, chargeBytes: number): void {
    free(buffer);
    this.ledger.release(this.shard, chargeBytes);
  }

  /** Keeps a buffer for `giveBackLeftover`. */
  giveBackLater(buffer: ArrayBuffer, chargeBytes: number): void {
    this.leftovers.push({ buffer, chargeBytes });
    this.leftoverBytes += chargeBytes;
  }

  /** Gives one leftover buffer back. @returns the bytes it was charged, 0 when there is none. */
  giveBackLeftover(): number {
    const leftover = this.leftovers.pop();
    if (!leftover) return 0;
    this.leftoverBytes -= leftover.chargeBytes;
    this.giveBack(leftover.buffer, leftover.chargeBytes);
    return leftover.chargeBytes;
  }
}
