interface Count {
  current: number;
  startedMs: number;
}

/** Client addresses that are counted at once; the one counted for longest is forgotten first. */
const MOST_CLIENTS = 10_000;

/**
 * Counts requests per client in windows of time. The plugin's own store hands out the count itself rather than
 * what it was: of several requests in one turn of the event loop, all would be taken for the last.
 */
export class RateStore {
  private readonly counts = new Map<string, Count>();

  incr(
    client: string,
    callback: (error: Error | null, result: { current: number; ttl: number }) => void,
    windowMs: number,
  ): void {
    // Not the time of day, which may be set back.
    const nowMs = performance.now();
    let count = this.counts.get(client);
    if (!count || count.startedMs + windowMs <= nowMs) {
      count = { current: 0, startedMs: nowMs };
      this.counts.delete(client);
      this.counts.set(client, count);
      if (this.counts.size > MOST_CLIENTS) this.counts.delete(this.counts.keys().next().value!);
    }
    count.current++;
    callback(null, { current: count.current, ttl: count.startedMs + windowMs - nowMs });
  }

  /** All routes count together. */
  child(): this {
    return this;
  }
}
