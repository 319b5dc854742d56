import { openSync, readSync } from 'node:fs';

/**
 * How long this thread has stood ready and waited for a processor, because other programs share the machine.
 *
 * From the scheduler's own account, which is exact. A thread's processor time would not do: it is brought up
 * to date at ticks, 4 ms apart, and what is asked here is whether one operation took more than that.
 */
export class ProcessorWait {
  /** Of the thread that opens it. */
  private readonly file = openSync('/proc/thread-self/schedstat', 'r');
  private readonly text = Buffer.alloc(96);

  /** Since the thread began, in ms. Costs about 2 µs. */
  totalMs(): number {
    const length = readSync(this.file, this.text, 0, this.text.length, 0);
    // "ns on a processor, ns waiting for one, times scheduled"
    return Number(this.text.toString('latin1', 0, length).split(' ')[1]) / 1e6;
  }
}
