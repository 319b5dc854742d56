interface Count {
  current: number;
  startedMs: number;
}

/** How many client addresses are counted at once. The one whose window began first is forgotten first. */
const MAX_CLIENTS = 10_000;

/**
 * Counts requests per client in windows of time. The plugin's own store returns the same object each time, and changes it
 * later. When several requests come in one turn of the event loop, each would see the count of the last.
 */
export class RateStore {
  private readonly counts = new Map<string, Count>();

  incr(
    client: string,
    callback: (error: Error | null, result: { current: number; ttl: number }) => void,
    windowMs: number,
  ): void {
    // The time of day may be set back; this clock is not.
    const nowMs = performance.now();
    let count = this.counts.get(client);
    if (!count || count.startedMs + windowMs <= nowMs) {
      count = { current: 0, startedMs: nowMs };
      this.counts.delete(client);
      this.counts.set(client, count);
      if (this.counts.size > MAX_CLIENTS) this.counts.delete(this.counts.keys().next().value!);
    }
    count.current++;
    callback(null, { current: count.current, ttl: count.startedMs + windowMs - nowMs });
  }

  /** All routes share the counts. */
  child(): this {
    return this;
  }
}
