import { gzip, gzipSync } from 'node:zlib';
import { type Payload, freePayload } from '../src/shared/protocol.ts';
import { NO_SLOT, type SegmentStore } from './store/segment-store.ts';

/** Longer bodies are compressed beside the thread, so that they do not hold up the shard's other keys. */
export const SYNC_CHARACTERS = 2 ** 16;
/** A megabyte takes tens of milliseconds, and those that run share the time. */
const MOST_RUNNING = 2;
const NOT_SMALLER = new Uint8Array(0);

/** Told the gzip form, or undefined where it would not be smaller, and the body. */
type Waiter = (compressed: Buffer | undefined, body: Payload) => void;

interface Job {
  readonly body: Payload;
  readonly waiters: Waiter[];
  /** Set when the entry it began with has been replaced or deleted. */
  isStale: boolean;
}

/** Compresses a body once, and keeps the result beside its entry. */
export class Compressor {
  private readonly store: SegmentStore;
  private readonly jobs = new Map<string, Job>();
  private running = 0;

  constructor(store: SegmentStore) {
    this.store = store;
  }

  /** True while something is being compressed beside the thread. */
  get isBusy(): boolean {
    return this.running > 0;
  }

  /** @returns the gzip form, undefined where it would not be smaller. */
  compressNow(slot: number, body: Payload): Buffer | undefined {
    const compressed = gzipSync(toBytes(body));
    const isSmaller = compressed.length < body.length;
    this.store.attachGzip(slot, isSmaller ? compressed : NOT_SMALLER);
    return isSmaller ? compressed : undefined;
  }

  /** False when enough is being compressed already. */
  get takesMore(): boolean {
    return this.running < MOST_RUNNING;
  }

  /** Waits for the result where the key's entry is being compressed. @returns the body's length, 0 where it is not. */
  join(key: string, waiter: Waiter): number {
    const job = this.jobs.get(key);
    job?.waiters.push(waiter);
    return job?.body.length ?? 0;
  }

  /** Compresses on a thread of its own; whoever asks for the same entry meanwhile is to `join`. */
  compressLater(key: string, body: Payload, waiter: Waiter): void {
    const job: Job = { body, waiters: [waiter], isStale: false };
    this.jobs.set(key, job);
    this.running++;
    gzip(toBytes(body), (error, compressed) => {
      this.running--;
      if (error) throw error;
      this.finish(key, job, compressed.length < body.length ? compressed : undefined);
    });
  }

  /** The key's entry is about to change: what is being compressed belongs to it no more. */
  forget(key: string): void {
    if (this.jobs.size === 0) return;
    const job = this.jobs.get(key);
    if (!job) return;
    job.isStale = true;
    this.jobs.delete(key);
  }

  forgetAll(): void {
    for (const key of this.jobs.keys()) this.forget(key);
  }

  private finish(key: string, job: Job, compressed: Buffer | undefined): void {
    if (!job.isStale) {
      this.jobs.delete(key);
      const slot = this.store.peek(key);
      if (slot !== NO_SLOT) this.store.attachGzip(slot, compressed ?? NOT_SMALLER);
    }
    for (const waiter of job.waiters) waiter(compressed, job.body);
    // Each reader has a copy.
    freePayload(job.body);
  }
}

function toBytes(body: Payload): Uint8Array {
  return typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
}
