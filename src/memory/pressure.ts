/** `threshold`: shards are ordered to shed. `ceiling`: shards evict by themselves. */
export type PressureKind = 'threshold' | 'ceiling';

export interface Pressure {
  readonly beganMs: number;
  /** The last look that saw it. */
  readonly seenMs: number;
}

export interface PressureChange<Kind extends string = PressureKind> {
  readonly kind: Kind;
  readonly isOn: boolean;
  /** From the first look that saw it to the last; 0 when it begins. */
  readonly lastedMs: number;
}

/**
 * In a flood, shed orders take memory below the threshold again and again. Only a calm of this length ends the
 * pressure.
 */
export const CALM_MS = 10_000;

/**
 * One look at memory pressure, or at pressure of another kind.
 * @param before the pressure that the last look returned.
 * @returns the pressure for the next look, and the change, if it began or ended with this look.
 */
export function nextPressure<Kind extends string>(
  kind: Kind,
  before: Pressure | undefined,
  isSeen: boolean,
  nowMs: number,
): { readonly pressure: Pressure | undefined; readonly change?: PressureChange<Kind> } {
  if (isSeen) {
    if (before) return { pressure: { ...before, seenMs: nowMs } };
    return { pressure: { beganMs: nowMs, seenMs: nowMs }, change: { kind, isOn: true, lastedMs: 0 } };
  }
  if (!before || nowMs - before.seenMs < CALM_MS) return { pressure: before };
  const lastedMs = before.seenMs - before.beganMs;
  return { pressure: undefined, change: { kind, isOn: false, lastedMs } };
}
