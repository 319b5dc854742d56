/** What one key may hold, as far as the one who alone uses it can know. */

/** A value that may be held, null for none, and when it expires: it is there until the first, and gone after the second. */
interface State {
  readonly value: string | null;
  readonly surelyUntilMs: number;
  readonly goneAfterMs: number;
}

/** When a call was made, and when it was settled. */
export interface Span {
  readonly sentMs: number;
  readonly settledMs: number;
}

/** A write of which nobody knows whether it was carried out may yet be, for as long. */
const LATE_MS = 5000;
/** Two clocks, and a server that looks at its own once for many requests. */
const CLOCK_SLACK_MS = 30;
const NOTHING: State = { value: null, surelyUntilMs: Infinity, goneAfterMs: Infinity };

export class KeyModel {
  private states: readonly State[] = [NOTHING];
  private late: { readonly state: State; readonly untilMs: number }[] = [];

  /** What was held may be lost. */
  lose(): void {
    if (!this.states.some(({ value }) => value === null)) this.states = [...this.states, NOTHING];
  }

  /** A write was acknowledged. @param ttlMs undefined for none. */
  wrote(value: string | null, ttlMs: number | undefined, span: Span): void {
    this.states = [stateOf(value, ttlMs, span)];
  }

  /** A write failed, and may have been carried out, or may be later. */
  mayHaveWritten(value: string | null, ttlMs: number | undefined, span: Span): void {
    // It expires some time after it is carried out, whenever that may be.
    const late: Span = { sentMs: span.sentMs, settledMs: span.settledMs + LATE_MS };
    const state = stateOf(value, ttlMs, late);
    this.states = [...this.states, state];
    this.late.push({ state, untilMs: span.settledMs + LATE_MS });
  }

  /** @returns whether a read could be answered so. */
  read(value: string | null, span: Span): boolean {
    return this.found((state) => readsAs(state, value, span), span);
  }

  /** @returns whether `has`, or a delete, could be answered so. */
  saw(isThere: boolean, span: Span): boolean {
    return this.found(
      (state) =>
        isThere ? state.value !== null && readsAs(state, state.value, span) : readsAs(state, null, span),
      span,
    );
  }

  /** Keeps the states that agree with what was seen. */
  private found(agrees: (state: State) => boolean, { sentMs }: Span): boolean {
    this.late = this.late.filter(({ untilMs }) => untilMs > sentMs);
    const states = [...new Set([...this.states, ...this.late.map(({ state }) => state)])].filter(agrees);
    if (states.length === 0) return false;
    this.states = states;
    return true;
  }
}

function stateOf(value: string | null, ttlMs: number | undefined, { sentMs, settledMs }: Span): State {
  if (ttlMs === undefined) return { ...NOTHING, value };
  return {
    value,
    surelyUntilMs: sentMs + ttlMs - CLOCK_SLACK_MS,
    goneAfterMs: settledMs + ttlMs + CLOCK_SLACK_MS,
  };
}

function readsAs(state: State, value: string | null, { sentMs, settledMs }: Span): boolean {
  if (value === null) return state.value === null || settledMs >= state.surelyUntilMs;
  return state.value === value && sentMs <= state.goneAfterMs;
}
