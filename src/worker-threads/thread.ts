import { extname } from 'node:path';
import { Piscina } from 'piscina';

/** The script that each thread runs first: `.cts` here, `.cjs` when compiled. */
export const ENTRY_URL = new URL(`entry${extname(import.meta.url).replace('.', '.c')}`, import.meta.url);

export interface ThreadOptions {
  /** The module whose default export runs on the thread; it gets the task. */
  readonly workerUrl: URL;
  /** Of the old generation. */
  readonly heapMb: number;
  /** Of the young generation; V8's default when absent. */
  readonly youngMb?: number | undefined;
}

/**
 * One worker thread with one task, which lasts as long as the thread. Only this file knows Piscina, which is made for
 * many short tasks. ADR 16 says why it serves all the same. Five workarounds make it fit:
 *
 * - Each thread has a pool of its own: a pool whose thread fails while it starts never starts another one.
 * - `minThreads: 0`, or the pool would replace a dead thread by itself, even after `destroy`.
 * - Three events say that the thread has ended. The task is rejected if the thread dies with it. The pool emits
 *   `error` if the thread throws before that, and only `workerDestroy` if it exits before that. `workerDestroy` comes
 *   with the others, too, but does not know the error: so it is reported a turn later.
 * - `entry.cts` imports the thread's module. Piscina would `require` it, and then Node can crash.
 * - A cast: Piscina derives the type of `transferList` from the last overload of `postMessage`, which has no such list.
 */
export class Thread {
  private readonly pool: Piscina;
  private readonly url: string;
  private readonly onEnd: (error: unknown) => void;
  private hasEnded = false;
  private ended: Promise<void> | undefined;

  /** @param onEnd called once: the thread has died, failed to start, or is being ended. */
  constructor({ workerUrl, heapMb, youngMb }: ThreadOptions, onEnd: (error: unknown) => void) {
    this.onEnd = onEnd;
    this.url = workerUrl.href;
    this.pool = new Piscina({
      filename: ENTRY_URL.href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Infinity,
      atomics: 'disabled',
      recordTiming: false,
      resourceLimits: {
        maxOldGenerationSizeMb: heapMb,
        ...(youngMb !== undefined && { maxYoungGenerationSizeMb: youngMb }),
      },
    });
    const reportEnd = (error: unknown): void => this.reportEnd(error);
    this.pool.on('error', reportEnd);
    this.pool.on('workerDestroy', () => setImmediate(reportEnd, new Error('the thread ended')));
  }

  start(task: object, transferList: readonly object[]): void {
    this.pool.run({ url: this.url, task }, { transferList: transferList as never }).then(
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
