/** What processes and threads use, from /proc. */
import { openSync, readdirSync, readFileSync, readSync } from 'node:fs';

/**
 * Processor time of a server since its start, in µs: every living thread of every process of its session. `startProcess`
 * makes the session. From schedstat, because /proc/PID/stat counts in ticks of 10 ms.
 */
export function serverCpuMicros(session: number): number {
  const threads = processesOf(session).flatMap((pid) =>
    list(`/proc/${pid}/task`).map((tid) => threadCpuMicros(pid, tid)),
  );
  return sum(threads);
}

/** Processor time of a process's first thread since its start, in µs: Node's event loop. */
export function mainThreadCpuMicros(pid: number): number {
  return threadCpuMicros(pid, pid);
}

/** Resident bytes of a server. Pages that several processes share count once for each. */
export function serverRssBytes(session: number): number {
  const kilobytes = processesOf(session).map((pid) =>
    /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`)),
  );
  return sum(kilobytes.map((match) => Number(match?.[1] ?? 0) * 1024));
}

/**
 * How long this thread has been ready to run and has waited for a processor, because other programs share the machine.
 * From the scheduler, which counts it exactly. The thread's processor time would not do: it is updated every 4 ms, and
 * the question is whether a single operation took more than that.
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

function threadCpuMicros(pid: number, tid: number): number {
  const nanos = Number(read(`/proc/${pid}/task/${tid}/schedstat`).split(' ', 1)[0]);
  return Number.isFinite(nanos) ? nanos / 1_000 : 0;
}

function processesOf(session: number): number[] {
  return list('/proc').filter((pid) => {
    const stat = read(`/proc/${pid}/stat`);
    // "pid (name) state ppid group session …": a name may hold blanks, so count from the last parenthesis.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ', 4)[3]) === session;
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function list(directory: string): number[] {
  try {
    return readdirSync(directory).map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** Processes end while they are looked at. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
