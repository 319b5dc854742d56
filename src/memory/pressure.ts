/** Over the threshold shards are asked to shed; at the ceiling they evict by themselves. */
export type PressureKind = 'threshold' | 'ceiling';

export interface Pressure {
  readonly beganMs: number;
  /** When it was last seen. */
  readonly seenMs: number;
}

export interface PressureChange {
  readonly kind: PressureKind;
  readonly isOn: boolean;
  /** From the first sight of it to the last; 0 when it begins. */
  readonly lastedMs: number;
}

/** Shed orders take memory below the threshold again and again in a flood: only a longer calm is its end. */
export const CALM_MS = 10_000;

/**
 * One look at memory pressure.
 * @param before what the last look returned; undefined where there was none.
 * @returns what to hand to the next look, and the change, if this look is the one that tells it.
 */
export function nextPressure(
  kind: PressureKind,
  before: Pressure | undefined,
  isSeen: boolean,
  nowMs: number,
): { readonly pressure: Pressure | undefined; readonly change?: PressureChange } {
  if (isSeen) {
    if (before) return { pressure: { ...before, seenMs: nowMs } };
    return { pressure: { beganMs: nowMs, seenMs: nowMs }, change: { kind, isOn: true, lastedMs: 0 } };
  }
  if (!before || nowMs - before.seenMs < CALM_MS) return { pressure: before };
  const lastedMs = before.seenMs - before.beganMs;
  return { pressure: undefined, change: { kind, isOn: false, lastedMs } };
}
