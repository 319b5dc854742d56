import { Piscina } from 'piscina';

export interface ThreadOptions {
  /** The module whose default export runs on the thread; it gets the task. */
  readonly workerUrl: URL;
  readonly heapMb: number;
}

/**
 * One worker thread with one task, which lasts as long as the thread. Nothing but this file knows Piscina, which is made
 * for short tasks on many threads; why it serves here, too, is in ADR 16. It takes four things to make it fit:
 *
 * - A pool of its own for each thread, with `minThreads: 0`: a larger pool would replace a thread that dies without a
 *   word, even after `destroy`, or not at all if the thread died early.
 * - `error` as well as the task's end: a thread that dies with its task rejects it, one that dies before raises `error`.
 * - `workerDestroy` as well as `error`: a thread that exits before it has its task raises nothing else. It comes last, so
 *   that what a thread failed with is known first.
 * - A cast of the transfer list: Piscina derives its type from the last overload of `postMessage`, which is another one.
 */
export class Thread {
  private readonly pool: Piscina;
  private readonly onEnd: (error: unknown) => void;
  private hasEnded = false;
  private ended: Promise<void> | undefined;

  /** @param onEnd called once, when the thread has died, could not start, or is being ended. */
  constructor({ workerUrl, heapMb }: ThreadOptions, onEnd: (error: unknown) => void) {
    this.onEnd = onEnd;
    this.pool = new Piscina({
      filename: workerUrl.href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Infinity,
      // Otherwise the thread would sleep while it waits for tasks, and its event loop with it.
      atomics: 'disabled',
      recordTiming: false,
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
    });
    const reportEnd = (error: unknown): void => this.reportEnd(error);
    this.pool.on('error', reportEnd);
    this.pool.on('workerDestroy', () => setImmediate(reportEnd, new Error('the thread ended')));
  }

  start(task: object, transferList: readonly object[]): void {
    this.pool.run(task, { transferList: transferList as never }).then(
      () => this.reportEnd(new Error('the task of the thread ended')),
      (error: unknown) => this.reportEnd(error),
    );
  }

  /**
   * Ends the thread, if it still runs.
   * @param reason what `onEnd` is given, unless it has been called.
   * @returns when the thread has ended.
   */
  end(reason: Error): Promise<void> {
    // If this fails, nothing else can be done about the thread.
    this.ended ??= this.pool.destroy().catch(() => undefined);
    this.reportEnd(reason);
    return this.ended;
  }

  private reportEnd(error: unknown): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.onEnd(error);
  }
}
