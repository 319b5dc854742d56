import type { PressureChange } from '../../src/memory/pressure.ts';
import { Supervisor } from '../../src/memory/supervisor.ts';
import type { ShedResult } from '../../src/shared/shed-result.ts';

/** How a fake shard carries out an order. */
export interface Manner {
  readonly delayMs: number;
  /** `lies`: reports that it shed, but did not. `dies`: loses all it holds and gives no answer. */
  readonly conduct: 'obeys' | 'lies' | 'dies';
}

/** An order, and the state of memory when it was given. */
export interface GivenOrder {
  readonly orders: readonly number[];
  readonly heldBytes: readonly number[];
  readonly usedBytes: number;
  readonly atMs: number;
}

export interface FakeMachineOptions {
  readonly shards: number;
  readonly thresholdBytes: number;
  readonly baselineBytes?: number;
  readonly shedFraction?: number;
  readonly intervalMs?: number;
}

/** Memory and shards made of numbers, with a real supervisor over them. Needs fake timers. */
export class FakeMachine {
  readonly supervisor: Supervisor;
  readonly thresholdBytes: number;
  readonly baselineBytes: number;
  readonly given: GivenOrder[] = [];
  heldBytes: number[];
  /** Errors of the supervisor. */
  readonly errors: unknown[] = [];
  readonly pressures: PressureChange[] = [];
  isAtCeiling = false;
  /** Used memory that belongs neither to the empty process nor to the cache. */
  otherBytes = 0;
  /** Orders without an answer now, and the most at once so far. */
  outstanding = 0;
  mostOutstanding = 0;
  manner: (shard: number) => Manner = () => ({ delayMs: 0, conduct: 'obeys' });

  constructor(options: FakeMachineOptions) {
    const { shards, thresholdBytes, baselineBytes = 0, shedFraction = 0.1, intervalMs = 250 } = options;
    this.thresholdBytes = thresholdBytes;
    this.baselineBytes = baselineBytes;
    this.heldBytes = Array.from({ length: shards }, () => 0);
    this.supervisor = new Supervisor({
      thresholdBytes,
      shedFraction,
      baselineBytes,
      intervalMs,
      probe: () => this.usedBytes,
      heldBytes: () => [...this.heldBytes],
      shed: (orders) => this.shed(orders),
      isAtCeiling: () => this.isAtCeiling,
      onPressure: (change) => this.pressures.push(change),
      now: Date.now,
      onError: (error) => this.errors.push(error),
    });
  }

  get usedBytes(): number {
    return this.baselineBytes + this.otherBytes + this.totalHeld;
  }

  get totalHeld(): number {
    return this.heldBytes.reduce((sum, held) => sum + held, 0);
  }

  /** PUTs of this many bytes, shared out evenly. */
  grow(bytes: number): void {
    this.heldBytes = this.heldBytes.map((held) => held + Math.floor(bytes / this.heldBytes.length));
  }

  private async shed(orders: readonly number[]): Promise<(ShedResult | undefined)[]> {
    const { usedBytes } = this;
    this.given.push({ orders, heldBytes: [...this.heldBytes], usedBytes, atMs: Date.now() });
    this.outstanding++;
    this.mostOutstanding = Math.max(this.mostOutstanding, this.outstanding);
    const results = await Promise.all(orders.map((bytes, shard) => this.obey(shard, bytes)));
    this.outstanding--;
    return results;
  }

  private async obey(shard: number, bytes: number): Promise<ShedResult | undefined> {
    const { delayMs, conduct } = this.manner(shard);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (conduct === 'dies') {
      this.heldBytes[shard] = 0;
      return undefined;
    }
    const shedBytes = Math.min(bytes, this.heldBytes[shard]);
    if (conduct === 'obeys') this.heldBytes[shard] -= shedBytes;
    return { shedBytes, shedEntries: 1, releasedBytes: shedBytes, longestSliceMs: 1 + shard };
  }
}
