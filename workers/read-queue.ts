/** A read that is answered later, under its ticket. */
export interface WaitingRead {
  readonly ticket: number;
  readonly key: string;
}

/** Reads that wait their turn, first come, first served. */
export class ReadQueue<Read extends WaitingRead> {
  private reads: Read[] = [];
  /** How many wait for each key, so that a key nobody waits for costs no look at the others. */
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
    if (read === undefined) return undefined;
    const left = this.waiting.get(read.key)! - 1;
    if (left === 0) this.waiting.delete(read.key);
    else this.waiting.set(read.key, left);
    return read;
  }

  /** Takes out the reads of one key, or all: they will not be answered in their turn. */
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
}
