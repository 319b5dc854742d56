import type { ShedResult } from '../shared/shed-result.ts';
import { type Pressure, type PressureChange, type PressureKind, nextPressure } from './pressure.ts';
import { type Decision, type LastOrder, decideShed } from './shed-policy.ts';

export interface SupervisorOptions {
  readonly thresholdBytes: number;
  readonly shedFraction: number;
  readonly baselineBytes: number;
  readonly intervalMs: number;
  /** Bytes in use that count against the limit. */
  readonly probe: () => number;
  /** Bytes that each shard holds, less what an empty shard holds. */
  readonly heldBytes: () => readonly number[];
  /** Carries out the orders. Undefined for a shard that had none, or died. */
  readonly shed: (orders: readonly number[]) => Promise<readonly (ShedResult | undefined)[]>;
  /** Whether a shard is so close to the ceiling that it evicts. */
  readonly isAtCeiling?: () => boolean;
  /** Milliseconds since the epoch; never goes back. */
  readonly now: () => number;
  readonly onOrder?: (report: OrderReport) => void;
  readonly onPressure?: (change: PressureChange, usedBytes: number) => void;
  /** Called with the error if a look at memory fails. The next look still follows. */
  readonly onError: (error: unknown) => void;
}

/** The last order, as `/stats` shows it. */
export interface OrderReport {
  readonly atMs: number;
  readonly askedBytes: number;
  readonly askedPerShard: readonly number[];
  readonly shedBytes: number;
  readonly shedEntries: number;
  readonly releasedBytes: number;
  readonly usedBeforeBytes: number;
  readonly tookMs: number;
  readonly longestSliceMs: number;
}

/**
 * The loop that joins probe, policy and shards: it looks at memory, decides, and waits until the order is carried out.
 */
export class Supervisor {
  usedBytes = 0;
  lastDecision: Decision = { kind: 'wait', reason: 'below threshold' };
  lastReport: OrderReport | undefined;
  orders = 0;
  /** Of all orders that were carried out. */
  readonly totals = { askedBytes: 0, releasedBytes: 0, tookMs: 0 };

  private readonly options: SupervisorOptions;
  private last: LastOrder | undefined;
  private isOrdering = false;
  private readonly pressures = new Map<PressureKind, Pressure | undefined>();
  private timer: NodeJS.Timeout | undefined;

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.usedBytes = options.probe();
  }

  start(): void {
    const { intervalMs, onError } = this.options;
    this.timer = setInterval(() => void this.tick().catch(onError), intervalMs);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** One look at memory. While an order is carried out, it only measures. */
  async tick(): Promise<void> {
    const { options } = this;
    this.usedBytes = options.probe();
    this.watch('threshold', this.usedBytes > options.thresholdBytes);
    this.watch('ceiling', options.isAtCeiling?.() ?? false);
    if (this.isOrdering) return;
    const heldBytes = options.heldBytes();
    const seen = {
      usedBytes: this.usedBytes,
      thresholdBytes: options.thresholdBytes,
      shedFraction: options.shedFraction,
      baselineBytes: options.baselineBytes,
      heldBytes,
    };
    this.lastDecision = decideShed(seen, this.last);
    if (this.lastDecision.kind === 'wait') {
      if (this.lastDecision.reason === 'below threshold') this.last = undefined;
      return;
    }
    await this.order(this.lastDecision.orders, heldBytes);
  }

  private watch(kind: PressureKind, isSeen: boolean): void {
    const { onPressure, now } = this.options;
    const { pressure, change } = nextPressure(kind, this.pressures.get(kind), isSeen, now());
    this.pressures.set(kind, pressure);
    if (change) onPressure?.(change, this.usedBytes);
  }

  private async order(orders: readonly number[], heldBytes: readonly number[]): Promise<void> {
    const { options } = this;
    const atMs = options.now();
    const usedBeforeBytes = this.usedBytes;
    this.isOrdering = true;
    this.orders++;
    try {
      const results = (await options.shed(orders)).filter((result) => result !== undefined);
      this.last = {
        usedBeforeBytes,
        heldBeforeBytes: sum(heldBytes),
        heldAfterBytes: sum(options.heldBytes()),
      };
      this.lastReport = {
        atMs,
        askedBytes: sum(orders),
        askedPerShard: orders,
        shedBytes: sum(results.map((result) => result.shedBytes)),
        shedEntries: sum(results.map((result) => result.shedEntries)),
        releasedBytes: sum(results.map((result) => result.releasedBytes)),
        usedBeforeBytes,
        tookMs: options.now() - atMs,
        longestSliceMs: Math.max(0, ...results.map((result) => result.longestSliceMs)),
      };
      this.totals.askedBytes += this.lastReport.askedBytes;
      this.totals.releasedBytes += this.lastReport.releasedBytes;
      this.totals.tookMs += this.lastReport.tookMs;
      options.onOrder?.(this.lastReport);
    } finally {
      this.isOrdering = false;
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
