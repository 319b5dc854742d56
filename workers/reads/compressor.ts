import { gzip, gzipSync } from 'node:zlib';
import { type Payload, freePayload } from '../../src/shared/protocol.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';

/** Longer bodies are compressed on a thread of libuv's pool, so that they do not hold up the shard's other keys. */
export const MAX_SYNC_BYTES = 2 ** 16;
/** A megabyte takes tens of milliseconds, and jobs that run at once share the time. */
const MAX_RUNNING = 2;
const NOT_SMALLER = new Uint8Array(0);

/** Called with the gzip form, or undefined where it would not be smaller, and the body. */
type Waiter = (compressed: Buffer | undefined, body: Payload) => void;

interface Job {
  readonly body: Payload;
  readonly waiters: Waiter[];
  /** Whether the body is the value itself. */
  readonly isOfValue: boolean;
  /** True once the entry that it was begun for has been replaced or deleted. */
  isStale: boolean;
}

/** Compresses a body once, however many reads ask for it at the same time, and keeps the result beside its entry. */
export class Compressor {
  private readonly store: SegmentStore;
  private readonly jobs = new Map<string, Job>();
  private running = 0;

  constructor(store: SegmentStore) {
    this.store = store;
  }

  /** True while a job runs on another thread. */
  get isBusy(): boolean {
    return this.running > 0;
  }

  /** False while as many jobs run as may. */
  get takesMore(): boolean {
    return this.running < MAX_RUNNING;
  }

  /** @returns the gzip form, undefined where it would not be smaller. */
  compressNow(slot: number, body: Payload, isOfValue: boolean): Buffer | undefined {
    const compressed = gzipSync(toBytes(body));
    const isSmaller = compressed.length < body.length;
    this.store.attachGzip(slot, isSmaller ? compressed : NOT_SMALLER, isOfValue);
    return isSmaller ? compressed : undefined;
  }

  /** Whether a job of the key's entry runs. */
  isCompressing(key: string): boolean {
    return this.jobs.has(key);
  }

  /**
   * Waits for the job of the key's entry, if there is one that makes this form.
   * @returns the length of its body, 0 where there is none.
   */
  join(key: string, isOfValue: boolean, waiter: Waiter): number {
    const job = this.jobs.get(key);
    if (job?.isOfValue !== isOfValue) return 0;
    job.waiters.push(waiter);
    return job.body.length;
  }

  /** Compresses on another thread. Until the result is there, others can `join`. No job of the key may run. */
  compressLater(key: string, body: Payload, isOfValue: boolean, waiter: Waiter): void {
    const job: Job = { body, waiters: [waiter], isOfValue, isStale: false };
    this.jobs.set(key, job);
    this.running++;
    gzip(toBytes(body), (error, compressed) => {
      this.running--;
      if (error) throw error;
      this.finish(key, job, compressed.length < body.length ? compressed : undefined);
    });
  }

  /** The entry of a key is about to change, or all entries are: results of running jobs will not be kept. */
  forget(key?: string): void {
    if (this.jobs.size === 0) return;
    for (const stale of key === undefined ? this.jobs.keys() : [key]) {
      const job = this.jobs.get(stale);
      if (job) job.isStale = true;
      this.jobs.delete(stale);
    }
  }

  private finish(key: string, job: Job, compressed: Buffer | undefined): void {
    if (!job.isStale) {
      this.jobs.delete(key);
      const slot = this.store.peek(key);
      if (slot !== NO_SLOT) this.store.attachGzip(slot, compressed ?? NOT_SMALLER, job.isOfValue);
    }
    for (const waiter of job.waiters) waiter(compressed, job.body);
    // Each reader has a copy.
    freePayload(job.body);
  }
}

function toBytes(body: Payload): Uint8Array {
  return typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
}
