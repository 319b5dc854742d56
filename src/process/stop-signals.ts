/** Requests that are not answered by then get no answer. */
const SHUTDOWN_DEADLINE_MS = 4500;
/** Signals within this time count as one: a terminal sends Ctrl-C to npm and to the server, and npm passes it on. */
const REPEAT_MS = 500;

/**
 * Signals that would end the process at once: SIGQUIT comes from a terminal (Ctrl-\), SIGPWR from LXC, SIGXCPU from a limit
 * on processor time. SIGUSR1 does nothing: `launch.ts` starts Node so that it does not open the debugger.
 */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGUSR2', 'SIGPWR', 'SIGXCPU'] as const;

export type StopSignal = (typeof SIGNALS)[number] | 'SIGHUP';

/** What the signals stop. */
export interface Stoppable {
  /** How long it goes on serving after `begin`. */
  readonly delayMs: number;
  /** How long `close` may take beyond the deadline of requests. */
  readonly lastSaveMs: number;
  readonly begin: (signal: StopSignal) => void;
  readonly close: () => Promise<void>;
  /** Writes the last log lines; must be short. @param error the error with which `close` failed. */
  readonly end: (error?: unknown) => Promise<void>;
}

/**
 * Ends the process on signals: first the delay, then what is in flight, then exit code 0. Each further signal ends the
 * current wait. Must be created as early as possible: a signal without a handler does not end the first process of a
 * container.
 */
export class StopSignals {
  /** Absent before the server listens: then nothing is in flight. */
  target: Stoppable | undefined;

  private stage: 'running' | 'delaying' | 'closing' | 'ending' = 'running';
  private lastMs = -Infinity;
  private delayTimer: NodeJS.Timeout | undefined;
  private isHangUpPending = false;
  private hangUp = (): void => {
    this.isHangUpPending = true;
  };

  constructor() {
    for (const signal of SIGNALS) process.on(signal, () => this.stop(signal));
    process.on('SIGHUP', () => this.hangUp());
  }

  /** Sets what SIGHUP does. If the signal has already come, does it now. */
  onHangUp(act: () => void): void {
    this.hangUp = act;
    if (this.isHangUpPending) act();
    this.isHangUpPending = false;
  }

  stop(signal: StopSignal): void {
    const nowMs = performance.now();
    if (nowMs - this.lastMs < REPEAT_MS) return;
    this.lastMs = nowMs;
    if (this.target === undefined || this.stage === 'ending') {
      process.exit();
    } else if (this.stage === 'running') {
      this.begin(signal, this.target);
    } else if (this.stage === 'delaying') {
      this.close(this.target);
    } else {
      this.end(this.target);
    }
  }

  private begin(signal: StopSignal, target: Stoppable): void {
    this.stage = 'delaying';
    target.begin(signal);
    if (target.delayMs === 0) this.close(target);
    else this.delayTimer = setTimeout(() => this.close(target), target.delayMs);
  }

  private close(target: Stoppable): void {
    clearTimeout(this.delayTimer);
    this.stage = 'closing';
    setTimeout(() => this.end(target), SHUTDOWN_DEADLINE_MS + target.lastSaveMs);
    target.close().then(
      () => this.end(target),
      (error: unknown) => this.end(target, error),
    );
  }

  private end(target: Stoppable, error?: unknown): void {
    if (this.stage === 'ending') return;
    this.stage = 'ending';
    process.exitCode = error === undefined ? 0 : 1;
    void target.end(error).finally(() => process.exit());
  }
}
