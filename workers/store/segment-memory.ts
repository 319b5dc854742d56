import { free } from '../../src/shared/free.ts';
import type { Ledger } from '../../src/shared/ledger.ts';

/**
 * The memory of one segment: what it takes is reserved in the ledger first, and what it gives back leaves the ledger
 * when it has gone back to the system.
 *
 * To give a gigabyte back takes a fifth of a second and more. What a cleared segment leaves goes piece by piece.
 */
export class SegmentMemory {
  /** What the ledger holds for pieces that are still to go. */
  leftoverBytes = 0;
  private readonly leftovers: { readonly buffer: ArrayBuffer; readonly chargeBytes: number }[] = [];
  private readonly ledger: Ledger;
  private readonly shard: number;

  constructor(ledger: Ledger, shard: number) {
    this.ledger = ledger;
    this.shard = shard;
  }

  /** The ceiling is near, and not only because of what is to go anyway. */
  get isTight(): boolean {
    return this.leftoverBytes === 0 && this.ledger.isTight(this.shard);
  }

  /** Reserves bytes in the ledger; leftovers that stand in the way go first. */
  tryReserve(bytes: number): boolean {
    while (!this.ledger.tryReserve(this.shard, bytes)) if (this.giveBackLeftover() === 0) return false;
    return true;
  }

  /** For bytes that are reserved and of which no buffer was made. */
  release(bytes: number): void {
    this.ledger.release(this.shard, bytes);
  }

  giveBack(buffer: ArrayBuffer, chargeBytes: number): void {
    free(buffer);
    this.ledger.release(this.shard, chargeBytes);
  }

  /** Leaves a buffer to `giveBackLeftover`. */
  giveBackLater(buffer: ArrayBuffer, chargeBytes: number): void {
    this.leftovers.push({ buffer, chargeBytes });
    this.leftoverBytes += chargeBytes;
  }

  /** Gives one of the buffers back that were left for later. @returns what it was charged, 0 when there is none. */
  giveBackLeftover(): number {
    const leftover = this.leftovers.pop();
    if (!leftover) return 0;
    this.leftoverBytes -= leftover.chargeBytes;
    this.giveBack(leftover.buffer, leftover.chargeBytes);
    return leftover.chargeBytes;
  }
}
