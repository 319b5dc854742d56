import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { ControlReply, ShardStart } from '../shared/protocol.ts';
import { type MailboxOptions, ShardMailbox } from './mailbox.ts';
import { restartDelayMs } from './restart-policy.ts';

export type ShardState = 'starting' | 'up' | 'restarting' | 'stopped';

export interface ShardOptions {
  readonly start: ShardStart;
  readonly mailbox: MailboxOptions;
  /** The worker thread's module. */
  readonly workerUrl: URL;
  readonly workerHeapMb: number;
  /** A thread that does not report ready in this time has failed to start. */
  readonly startDeadlineMs: number;
  /** A thread that gives no sign of life for longer is ended. */
  readonly silenceLimitMs: number;
  /** Called when the thread has ended, before a new one starts: with what it held, memory and all, gone. */
  readonly onDeath: (shard: number, error: unknown) => void;
}

/** A shard that has never been up and fails this often will not come up. */
const MOST_FIRST_STARTS = 3;

/**
 * One shard as the main thread sees it: a Piscina pool of one thread with one task that never ends, and the
 * mailbox to it. When the task does end the thread is gone; a new *pool* follows, since only so does every start
 * have its own end: a pool would begin another thread without a word, and none after one that failed early.
 */
export class Shard {
  readonly number: number;
  state: ShardState = 'starting';
  restarts = 0;
  mailbox: ShardMailbox | undefined;

  private readonly options: ShardOptions;
  private pool: Piscina | undefined;
  private failedStarts = 0;
  private wasSilent = false;
  private restartTimer: NodeJS.Timeout | undefined;
  private readonly firstStart = Promise.withResolvers<void>();

  constructor(options: ShardOptions) {
    this.options = options;
    this.number = options.start.shard;
  }

  /**
   * Starts the thread. @returns when it has first reported ready.
   * @throws what it last failed with, when it has failed to start a few times running.
   */
  start(): Promise<void> {
    this.launch();
    return this.firstStart.promise;
  }

  /** Ends the thread, and answers whoever still waits for it. */
  async stop(): Promise<void> {
    this.state = 'stopped';
    clearTimeout(this.restartTimer);
    this.mailbox?.close();
    this.mailbox = undefined;
    await this.pool?.destroy();
  }

  /** Ends the thread as if it had crashed: a new one takes its place. */
  async kill(): Promise<void> {
    await Promise.all(this.pool?.threads.map((thread) => thread.terminate()) ?? []);
  }

  /** Ends a thread that has stopped to answer: stuck in a loop, it would never end by itself. */
  checkHeartbeat(): void {
    const { mailbox } = this;
    if (!mailbox) return;
    // This thread may have been the one that stood still: then the answers lie in the port already, and have
    // been read by the time of the next look.
    const isSilent = mailbox.heartbeat() > this.options.silenceLimitMs;
    if (isSilent && this.wasSilent) void this.kill();
    this.wasSilent = isSilent;
  }

  private launch(): void {
    const { options } = this;
    const pool = new Piscina({
      filename: options.workerUrl.href,
      // Else a pool begins another thread whenever one dies, after it was destroyed, too.
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: Infinity,
      atomics: 'disabled',
      recordTiming: false,
      resourceLimits: { maxOldGenerationSizeMb: options.workerHeapMb },
    });
    this.pool = pool;
    const { port1, port2 } = new MessageChannel();
    let isOver = false;
    const end = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(startTimer);
      port1.close();
      this.die(pool, error);
    };
    const startTimer = setTimeout(
      () => end(new Error('the shard did not start in time')),
      options.startDeadlineMs,
    );
    port1.once('message', (message: ControlReply) => {
      if (isOver || message.kind !== 'ready') return;
      clearTimeout(startTimer);
      this.becomeUp(port1);
    });
    // A thread that dies with its task rejects it; one that dies before it has it raises `error`, or nothing.
    pool.on('error', end);
    pool.on('workerDestroy', () => setImmediate(end, new Error('the thread of the shard ended')));
    // Piscina derives the list's type from the last overload of `postMessage`, which is not the list's.
    const transferList = [port2] as never;
    pool.run({ port: port2, start: options.start }, { transferList }).then(() => {
      end(new Error('the shard ended its task'));
    }, end);
  }

  private becomeUp(port: MessagePort): void {
    if (this.state === 'stopped') return;
    this.mailbox = new ShardMailbox(port, this.options.mailbox);
    this.failedStarts = 0;
    this.state = 'up';
    this.firstStart.resolve();
  }

  private die(pool: Piscina, error: unknown): void {
    if (this.state === 'stopped') return;
    if (this.state !== 'up') this.failedStarts++;
    // Means nothing any more once the shard has been up.
    if (this.failedStarts === MOST_FIRST_STARTS) this.firstStart.reject(error);
    this.state = 'restarting';
    this.wasSilent = false;
    this.mailbox?.close();
    this.mailbox = undefined;
    this.restarts++;
    // Ends the thread, if it still runs. Should that fail there is nothing else to be done with it.
    const ended = pool.destroy().catch(() => undefined);
    void ended.then(() => {
      if (this.state === 'stopped') return;
      this.options.onDeath(this.number, error);
      this.restartTimer = setTimeout(() => this.launch(), restartDelayMs(this.failedStarts));
    });
  }
}
