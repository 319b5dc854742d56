import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Doorbell } from '../shared/doorbell.ts';
import type { ShardStart } from '../shared/protocol.ts';
import { Mailbox, type MailboxOptions } from './mailbox.ts';
import { restartDelayMs } from './restart-policy.ts';
import { Thread, type ThreadOptions } from './thread.ts';

export type ShardState = 'starting' | 'up' | 'restarting' | 'stopped';

export interface ShardOptions {
  /** What the thread is given, beside its end of a session. */
  readonly start: Omit<ShardStart, 'doorbell'>;
  readonly thread: ThreadOptions;
  readonly mailbox: MailboxOptions;
  /** A thread that does not report ready in this time has failed to start. */
  readonly startDeadlineMs: number;
  /** A thread that gives no sign of life for longer is ended. */
  readonly silenceLimitMs: number;
  /** Called when the thread has ended, and its memory is free, before a new one starts. */
  readonly onDeath: (shard: number, error: unknown) => void;
  /** Called when a new thread has taken its place. */
  readonly onRestart?: (shard: number, downMs: number) => void;
}

/** A shard that has never been up and fails to start this often will not come up. */
const MAX_FIRST_STARTS = 3;

/**
 * The life cycle of one shard: a thread, followed by a new one whenever it ends. With each thread come new sessions;
 * today there is one, that of the main thread, whose end is the mailbox.
 */
export class Shard {
  readonly number: number;
  state: ShardState = 'starting';
  restarts = 0;
  /** Absent while the shard is not up. */
  mailbox: Mailbox | undefined;

  private readonly options: ShardOptions;
  private thread: Thread | undefined;
  private port: MessagePort | undefined;
  private failedStarts = 0;
  private wasSilent = false;
  private downSinceMs: number | undefined;
  /** Of the start that is under way, or of the next one. */
  private startTimer: NodeJS.Timeout | undefined;
  private readonly firstStart = Promise.withResolvers<void>();

  constructor(options: ShardOptions) {
    this.options = options;
    this.number = options.start.shard;
  }

  /**
   * Starts the thread.
   * @returns when it has first reported ready.
   * @throws its last error, if it fails to start a few times in a row.
   */
  start(): Promise<void> {
    this.launch();
    return this.firstStart.promise;
  }

  /** Ends the thread, and settles all requests that wait for it. */
  async stop(): Promise<void> {
    this.state = 'stopped';
    clearTimeout(this.startTimer);
    this.disconnect();
    await this.thread?.end(new Error('the shard was stopped'));
  }

  /** Ends the thread as if it had crashed: a new one takes its place. */
  async kill(reason = 'the shard was killed'): Promise<void> {
    await this.thread?.end(new Error(reason));
  }

  /** Ends a thread that has stopped answering: stuck in a loop, it would never end by itself. */
  checkHeartbeat(): void {
    const { mailbox } = this;
    if (!mailbox) return;
    // If the main thread itself was blocked, the answers wait in the port. They are read before the next check.
    const isSilent = mailbox.control.heartbeat() > this.options.silenceLimitMs;
    if (isSilent && this.wasSilent) void this.kill('the shard gave no sign of life');
    this.wasSilent = isSilent;
  }

  private launch(): void {
    const { options } = this;
    const thread = new Thread(options.thread, (error) => this.restart(thread, error));
    this.thread = thread;
    this.startTimer = setTimeout(() => {
      void thread.end(new Error('the shard did not start in time'));
    }, options.startDeadlineMs);
    thread.start(...this.connect());
  }

  /** Opens a session with a thread that is about to start. @returns the task of the thread, and what it transfers. */
  private connect(): [task: object, transferList: object[]] {
    const { port1, port2 } = new MessageChannel();
    const doorbell = new Doorbell();
    this.port = port1;
    // The first message says that the shard is ready.
    port1.once('message', () => this.becomeUp(port1, doorbell));
    return [{ port: port2, start: { ...this.options.start, doorbell: doorbell.buffers } }, [port2]];
  }

  private disconnect(): void {
    this.mailbox?.close();
    this.mailbox = undefined;
    this.port?.close();
  }

  private becomeUp(port: MessagePort, doorbell: Doorbell): void {
    clearTimeout(this.startTimer);
    this.mailbox = new Mailbox(port, doorbell, this.options.mailbox);
    this.failedStarts = 0;
    this.state = 'up';
    this.firstStart.resolve();
    if (this.downSinceMs === undefined) return;
    this.options.onRestart?.(this.number, this.options.mailbox.now() - this.downSinceMs);
    this.downSinceMs = undefined;
  }

  private restart(thread: Thread, error: unknown): void {
    if (this.state === 'stopped') return;
    clearTimeout(this.startTimer);
    if (this.state !== 'up') this.failedStarts++;
    // Has no effect once the shard has been up.
    if (this.failedStarts === MAX_FIRST_STARTS) this.firstStart.reject(error);
    this.state = 'restarting';
    this.downSinceMs ??= this.options.mailbox.now();
    this.restarts++;
    this.wasSilent = false;
    this.disconnect();
    void thread.end(new Error('the thread has ended')).then(() => {
      if (this.state === 'stopped') return;
      this.options.onDeath(this.number, error);
      this.startTimer = setTimeout(() => this.launch(), restartDelayMs(this.failedStarts));
    });
  }
}
