import { gzip, gzipSync } from 'node:zlib';
import { HIT, HIT_GZIP } from '../src/mailbox/protocol.ts';
import type { SegmentStore } from './store/segment-store.ts';

/** Longer bodies are compressed beside the thread, so that they do not hold up the shard's other keys. */
const SYNC_CHARACTERS = 2 ** 16;
const NOT_SMALLER = new Uint8Array(0);

interface Job {
  readonly tickets: number[];
  /** Set when the entry it began with has been replaced or deleted. */
  isStale: boolean;
}

/** Compresses a body once, and keeps the result beside its entry. */
export class Compressor {
  private readonly store: SegmentStore;
  private readonly answerLate: (ticket: number, code: number, payload: string) => void;
  private readonly jobs = new Map<string, Job>();
  private nextTicket = 0;

  constructor(store: SegmentStore, answerLate: (ticket: number, code: number, payload: string) => void) {
    this.store = store;
    this.answerLate = answerLate;
  }

  /**
   * @returns the gzip form as one character per byte, undefined where it would not be smaller, or the ticket
   * under which the answer follows.
   */
  compress(key: string, slot: number, body: string): string | number | undefined {
    if (body.length > SYNC_CHARACTERS) return this.compressLater(key, body);
    const compressed = gzipSync(Buffer.from(body, 'latin1'));
    const isSmaller = compressed.length < body.length;
    this.store.attachGzip(slot, isSmaller ? compressed : NOT_SMALLER);
    return isSmaller ? compressed.toString('latin1') : undefined;
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

  private compressLater(key: string, body: string): number {
    const ticket = (this.nextTicket = (this.nextTicket + 1) >>> 0);
    const running = this.jobs.get(key);
    if (running) {
      running.tickets.push(ticket);
      return ticket;
    }
    const job: Job = { tickets: [ticket], isStale: false };
    this.jobs.set(key, job);
    gzip(Buffer.from(body, 'latin1'), (error, compressed) => {
      if (error) throw error;
      this.finish(key, job, body, compressed);
    });
    return ticket;
  }

  private finish(key: string, job: Job, body: string, compressed: Buffer): void {
    const isSmaller = compressed.length < body.length;
    if (!job.isStale) {
      this.jobs.delete(key);
      const slot = this.store.peek(key);
      if (slot !== 0) this.store.attachGzip(slot, isSmaller ? compressed : NOT_SMALLER);
    }
    const code = isSmaller ? HIT_GZIP : HIT;
    const payload = isSmaller ? compressed.toString('latin1') : body;
    for (const ticket of job.tickets) this.answerLate(ticket, code, payload);
  }
}
