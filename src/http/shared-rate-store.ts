import { createHash } from 'node:crypto';

/** Clients whose first hashes agree share a set, which counts this many of them at once. */
const WAYS = 8;
const SETS = 2048;
const CLIENTS = SETS * WAYS;
/** Cells of one client. */
const CELLS = 3;
const TAG = 0;
const STARTED = 1;
const COUNT = 2;
/** A thread may be held up for so long between its look at the clock and its look at the cells. */
const MAX_AHEAD_MS = 60_000;

/** Counts of all HTTP threads. */
export function createRateCells(): SharedArrayBuffer {
  return new SharedArrayBuffer(CLIENTS * CELLS * Int32Array.BYTES_PER_ELEMENT);
}

/**
 * Counts requests per client in windows of time, as `RateStore` does, for several HTTP threads together. A client is known
 * by a hash of its address. The client of a set whose window began first is forgotten first.
 *
 *     Int32Array, for each client   [0] tag: hash   [1] when its window began, in ms   [2] requests since then
 *
 * Threads that begin the same window at once may lose a request or two of the count. No request waits for a lock.
 */
export class SharedRateStore {
  private readonly cells: Int32Array;
  private readonly nowMs: () => number;

  /** @param nowMs a clock that is the same on all threads. */
  constructor(buffer: SharedArrayBuffer, nowMs: () => number = processMs) {
    this.cells = new Int32Array(buffer);
    this.nowMs = nowMs;
  }

  incr(
    client: string,
    callback: (error: Error | null, result: { current: number; ttl: number }) => void,
    windowMs: number,
  ): void {
    const nowMs = this.nowMs() | 0;
    const place = this.placeOf(client, nowMs);
    const startedMs = this.beginWindow(place, nowMs, windowMs);
    const current = Atomics.add(this.cells, place + COUNT, 1) + 1;
    callback(null, { current, ttl: windowMs - age(startedMs, nowMs) });
  }

  /** All routes share the counts. */
  child(): this {
    return this;
  }

  /** @returns where the cells of a client begin; it gets those of another one if it is new. */
  private placeOf(client: string, nowMs: number): number {
    const { cells } = this;
    const hash = createHash('sha1').update(client).digest();
    // 0 stands for a free place.
    const tag = hash.readInt32LE(0) || 1;
    const first = (hash.readUInt32LE(4) % SETS) * WAYS * CELLS;
    let oldest = first;
    for (let place = first; place < first + WAYS * CELLS; place += CELLS) {
      const other = Atomics.load(cells, place + TAG);
      if (other === tag) return place;
      if (other === 0) {
        oldest = place;
        break;
      }
      const isOlder = age(Atomics.load(cells, place + STARTED), nowMs) > age(cells[oldest + STARTED], nowMs);
      if (isOlder) oldest = place;
    }
    Atomics.store(cells, oldest + STARTED, nowMs);
    Atomics.store(cells, oldest + COUNT, 0);
    Atomics.store(cells, oldest + TAG, tag);
    return oldest;
  }

  /** Begins a new window if the last one is over. @returns when the window began. */
  private beginWindow(place: number, nowMs: number, windowMs: number): number {
    const { cells } = this;
    const startedMs = Atomics.load(cells, place + STARTED);
    if (age(startedMs, nowMs) < windowMs) return startedMs;
    const wasFirst = Atomics.compareExchange(cells, place + STARTED, startedMs, nowMs) === startedMs;
    if (wasFirst) Atomics.store(cells, place + COUNT, 0);
    return nowMs;
  }
}

/** Cells hold the low 32 bits of a time: those of a client may not have been looked at for weeks. */
function age(startedMs: number, nowMs: number): number {
  const elapsedMs = (nowMs - startedMs) >>> 0;
  // Another thread has looked at the clock later than this one.
  return elapsedMs >= 2 ** 32 - MAX_AHEAD_MS ? 0 : elapsedMs;
}

/** `performance.now` begins anew on each thread. */
function processMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + Math.floor(nanoseconds / 1e6);
}
