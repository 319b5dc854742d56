/** A read that is answered later, under its ticket. */
export interface WaitingRead {
  readonly ticket: number;
  readonly key: string;
}

/** Reads that wait their turn, first come, first served. */
export class ReadQueue<Read extends WaitingRead> {
  private reads: Read[] = [];

  get length(): number {
    return this.reads.length;
  }

  get first(): Read | undefined {
    return this.reads[0];
  }

  push(read: Read): void {
    this.reads.push(read);
  }

  shift(): Read | undefined {
    return this.reads.shift();
  }

  /** Takes out the reads of one key, or all: they will not be answered in their turn. */
  take(key?: string): Read[] {
    if (this.reads.length === 0) return [];
    const isTaken = (read: Read): boolean => key === undefined || read.key === key;
    const taken = this.reads.filter(isTaken);
    if (taken.length > 0) this.reads = this.reads.filter((read) => !isTaken(read));
    return taken;
  }
}
