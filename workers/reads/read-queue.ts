import type { Session } from '../session.ts';

/** A read that is answered later, under its ticket. */
export interface WaitingRead {
  readonly session: Session;
  readonly ticket: number;
  readonly key: string;
}

/** Reads that wait their turn, first come, first served. */
export class ReadQueue<Read extends WaitingRead> {
  private reads: Read[] = [];
  /** How many wait for each key, so that a key that nobody waits for costs no search. */
  private readonly waiting = new Map<string, number>();

  get length(): number {
    return this.reads.length;
  }

  get first(): Read | undefined {
    return this.reads[0];
  }

  push(read: Read): void {
    this.reads.push(read);
    this.waiting.set(read.key, (this.waiting.get(read.key) ?? 0) + 1);
  }

  shift(): Read | undefined {
    const read = this.reads.shift();
    if (read !== undefined) this.uncount(read.key);
    return read;
  }

  /** Takes out the reads of one key, or all of them. */
  take(key?: string): Read[] {
    if (key === undefined) {
      this.waiting.clear();
      return this.reads.splice(0);
    }
    if (!this.waiting.delete(key)) return [];
    const taken = this.reads.filter((read) => read.key === key);
    this.reads = this.reads.filter((read) => read.key !== key);
    return taken;
  }

  /** Takes out the reads of one session. */
  takeOf(session: Session): Read[] {
    const taken = this.reads.filter((read) => read.session === session);
    this.reads = this.reads.filter((read) => read.session !== session);
    for (const { key } of taken) this.uncount(key);
    return taken;
  }

  private uncount(key: string): void {
    const left = this.waiting.get(key)! - 1;
    if (left === 0) this.waiting.delete(key);
    else this.waiting.set(key, left);
  }
}
