import { MAX_FIRST_STARTS, restartDelayMs } from './restart-policy.ts';
import { Thread, type ThreadOptions } from './thread.ts';

export type ThreadState = 'starting' | 'up' | 'restarting' | 'stopped';

export interface ThreadLifeCycleOptions {
  /** What the thread is called in errors: `shard`. */
  readonly name: string;
  readonly thread: ThreadOptions;
  /** A thread that does not report ready in this time has failed to start. */
  readonly startDeadlineMs: number;
  /** A thread that gives no sign of life for longer is ended. */
  readonly silenceLimitMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Opens what connects a thread that is about to start. @returns its task, and what it transfers. */
  readonly connect: () => [task: object, transferList: object[]];
  /** The thread has ended, or is about to be ended: closes what connects it. */
  readonly disconnect: () => void;
  /** Pings the thread. @returns for how long it has been silent; 0 while it is not connected. */
  readonly silenceMs: () => number;
  /** Called when the thread has ended, and its memory is free, before a new one starts. */
  readonly onDeath: (error: unknown) => void;
  /** Called when a new thread has taken its place. */
  readonly onRestart?: ((downMs: number) => void) | undefined;
  /** Called when `state` has changed. */
  readonly onChange?: (() => void) | undefined;
}

const HEARTBEAT_INTERVAL_MS = 250;

/** A thread, followed by a new one whenever it ends, until it is stopped. */
export class ThreadLifeCycle {
  state: ThreadState = 'starting';
  restarts = 0;

  private readonly options: ThreadLifeCycleOptions;
  private thread: Thread | undefined;
  private failedStarts = 0;
  private wasSilent = false;
  private downSinceMs: number | undefined;
  /** Of the start that is under way, or of the next one. */
  private startTimer: NodeJS.Timeout | undefined;
  private heartbeatTimer: NodeJS.Timeout | undefined;
  private readonly firstStart = Promise.withResolvers<void>();

  constructor(options: ThreadLifeCycleOptions) {
    this.options = options;
  }

  /**
   * Starts the thread.
   * @param checkHeartbeat called regularly.
   * @returns when it has first reported ready.
   * @throws its last error, if it fails to start a few times in a row.
   */
  start(checkHeartbeat: () => void): Promise<void> {
    this.heartbeatTimer = setInterval(checkHeartbeat, HEARTBEAT_INTERVAL_MS).unref();
    this.launch();
    return this.firstStart.promise;
  }

  /** To be called when the thread has reported ready. */
  becomeUp(): void {
    if (this.state === 'stopped') return;
    clearTimeout(this.startTimer);
    this.failedStarts = 0;
    this.change('up');
    this.firstStart.resolve();
    if (this.downSinceMs === undefined) return;
    this.options.onRestart?.(this.options.now() - this.downSinceMs);
    this.downSinceMs = undefined;
  }

  /** Ends the thread for good. */
  async stop(): Promise<void> {
    clearTimeout(this.startTimer);
    clearInterval(this.heartbeatTimer);
    this.change('stopped');
    await this.thread?.end(new Error(`the ${this.options.name} was stopped`));
  }

  /** Ends the thread as if it had crashed: a new one takes its place. */
  async kill(reason = `the ${this.options.name} was killed`): Promise<void> {
    await this.thread?.end(new Error(reason));
  }

  /** Ends a thread that has stopped answering: stuck in a loop, it would never end by itself. */
  checkHeartbeat(): void {
    if (this.state !== 'up') return;
    // If the main thread itself was blocked, the answers wait in the port. They are read before the next check.
    const isSilent = this.options.silenceMs() > this.options.silenceLimitMs;
    if (isSilent && this.wasSilent) void this.kill(`the ${this.options.name} gave no sign of life`);
    this.wasSilent = isSilent;
  }

  private launch(): void {
    const { options } = this;
    const thread = new Thread(options.thread, (error) => this.restart(thread, error));
    this.thread = thread;
    this.startTimer = setTimeout(() => {
      void thread.end(new Error(`the ${options.name} did not start in time`));
    }, options.startDeadlineMs);
    thread.start(...options.connect());
  }

  private restart(thread: Thread, error: unknown): void {
    if (this.state === 'stopped') return;
    clearTimeout(this.startTimer);
    if (this.state !== 'up') this.failedStarts++;
    // Has no effect once the thread has been up.
    if (this.failedStarts === MAX_FIRST_STARTS) this.firstStart.reject(error);
    this.downSinceMs ??= this.options.now();
    this.restarts++;
    this.wasSilent = false;
    this.change('restarting');
    void thread.end(new Error('the thread has ended')).then(() => {
      if (this.state === 'stopped') return;
      this.options.onDeath(error);
      this.startTimer = setTimeout(() => this.launch(), restartDelayMs(this.failedStarts));
    });
  }

  private change(state: ThreadState): void {
    this.state = state;
    if (state !== 'up') this.options.disconnect();
    this.options.onChange?.();
  }
}
