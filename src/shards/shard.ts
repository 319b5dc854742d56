import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Doorbell } from '../shared/doorbell.ts';
import type { ShardStart } from '../shared/shard-start.ts';
import { Mailbox, type MailboxOptions } from './mailbox.ts';
import { ThreadLifeCycle, type ThreadState } from '../worker-threads/thread-life-cycle.ts';
import type { ThreadOptions } from '../worker-threads/thread.ts';

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
  /** Called when `state` has changed. */
  readonly onChange?: (shard: Shard) => void;
}

/**
 * The life cycle of one shard. With each thread come new sessions: first that of the main thread, whose end is the
 * mailbox, then one for each further HTTP thread.
 */
export class Shard {
  readonly number: number;
  /** Absent while the shard is not up. */
  mailbox: Mailbox | undefined;

  private readonly options: ShardOptions;
  private readonly life: ThreadLifeCycle;
  private port: MessagePort | undefined;

  constructor(options: ShardOptions) {
    const { start, thread, mailbox, startDeadlineMs, silenceLimitMs, onDeath, onRestart, onChange } = options;
    this.options = options;
    this.number = start.shard;
    this.life = new ThreadLifeCycle({
      name: 'shard',
      thread,
      startDeadlineMs,
      silenceLimitMs,
      now: mailbox.now,
      connect: () => this.connect(),
      disconnect: () => this.disconnect(),
      silenceMs: () => this.mailbox?.control.heartbeat() ?? 0,
      onDeath: (error) => onDeath(this.number, error),
      onRestart: (downMs) => onRestart?.(this.number, downMs),
      onChange: () => onChange?.(this),
    });
  }

  get state(): ThreadState {
    return this.life.state;
  }

  get restarts(): number {
    return this.life.restarts;
  }

  /**
   * Starts the thread.
   * @returns when it has first reported ready.
   * @throws its last error, if it fails to start a few times in a row.
   */
  start(): Promise<void> {
    return this.life.start(() => this.checkHeartbeat());
  }

  /** Ends the thread, and settles all requests that wait for it. */
  stop(): Promise<void> {
    return this.life.stop();
  }

  /** Ends the thread as if it had crashed: a new one takes its place. */
  kill(reason?: string): Promise<void> {
    return this.life.kill(reason);
  }

  checkHeartbeat(): void {
    this.life.checkHeartbeat();
  }

  /** Opens a session with a thread that is about to start. @returns the task of the thread, and what it transfers. */
  private connect(): [task: object, transferList: object[]] {
    const { port1, port2 } = new MessageChannel();
    const doorbell = new Doorbell();
    this.port = port1;
    // The first message says that the shard is ready.
    port1.once('message', () => {
      this.mailbox = new Mailbox(port1, doorbell, this.options.mailbox);
      this.life.becomeUp();
    });
    return [{ port: port2, start: { ...this.options.start, doorbell: doorbell.buffers } }, [port2]];
  }

  private disconnect(): void {
    this.mailbox?.close();
    this.mailbox = undefined;
    this.port?.close();
  }
}
