import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';

export interface BriefPollOptions {
  readonly budgetMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Polling ends early when this turns false. */
  readonly isWanted: () => boolean;
}

/** So many times running a poll may find nothing before it is no longer tried. */
const MOST_FAILURES = 4;
/** While polls are not tried, every so many calls one is. */
const RETRY_EVERY = 32;

/**
 * Waits for the next message on a port without going to sleep. To sleep and to be woken costs a thread tens of
 * microseconds, several times what a small request takes; when the next message is about to come, looking for
 * it is cheaper for both sides. When messages come further apart, polls find nothing, and are soon given up.
 */
export class BriefPoll {
  private readonly port: MessagePort;
  private readonly options: BriefPollOptions;
  private failures = 0;
  private skipped = 0;

  constructor(port: MessagePort, options: BriefPollOptions) {
    this.port = port;
    this.options = options;
  }

  /** @returns a message as it was posted, or undefined. */
  receive(): unknown {
    if (this.failures >= MOST_FAILURES && ++this.skipped < RETRY_EVERY) return undefined;
    this.skipped = 0;
    const { budgetMs, nowMs, isWanted } = this.options;
    const stopMs = nowMs() + budgetMs;
    while (isWanted()) {
      const received: { message: unknown } | undefined = receiveMessageOnPort(this.port);
      if (received) {
        this.failures = 0;
        return received.message;
      }
      if (nowMs() >= stopMs) {
        this.failures++;
        return undefined;
      }
    }
    return undefined;
  }
}

/**
 * The shard that was last sent to, in shared memory: only its thread polls. Threads of other shards that poll as
 * well would only take the processor from the one that has something to do.
 */
export class Attention {
  readonly buffer: SharedArrayBuffer;
  private readonly cells: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.buffer = buffer;
    this.cells = new Int32Array(buffer);
  }

  set(shard: number): void {
    Atomics.store(this.cells, 0, shard);
  }

  isOn(shard: number): boolean {
    return Atomics.load(this.cells, 0) === shard;
  }
}
