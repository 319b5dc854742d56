import type { EventRing } from './events.ts';
import type { RequestSeries } from '../metrics/request-times.ts';
import { type Reading, type Stats, sampleOf } from './samples.ts';

export interface FeedOptions {
  readonly version: string;
  readonly stats: () => Promise<Stats>;
  readonly times: () => Promise<readonly RequestSeries[]>;
  readonly events: EventRing;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** Told of a reading that failed. The next one follows all the same. */
  readonly onError: (error: unknown) => void;
}

/** Somebody who has the dashboard open. */
export interface Watcher {
  /** @returns false where the watcher has not taken what it was sent before: it is dropped. */
  readonly send: (message: Buffer) => boolean;
  readonly end: () => void;
}

/** Where the watchers of one HTTP thread get from what the dashboard shows. */
export interface FeedSource {
  /** Whether one more may watch. */
  readonly hasRoom: () => boolean | Promise<boolean>;
  readonly watch: (watcher: Watcher) => void;
  readonly forget: (watcher: Watcher) => void;
  /** Ends every watcher's stream. */
  readonly close: () => void;
}

const INTERVAL_MS = 1000;
/** Each costs a connection and what its client has not taken yet. */
export const MAX_WATCHERS = 16;

/**
 * What the dashboard shows, as server-sent events: `start` to a new watcher, then a `sample` to all of them once a second.
 * Nothing is read while nobody watches. Samples are not kept here: charts begin when a page is opened.
 */
export class Feed implements FeedSource {
  private readonly options: FeedOptions;
  private readonly watchers = new Set<Watcher>();
  private timer: NodeJS.Timeout | undefined;
  private before: Reading | undefined;
  private isReading = false;
  /** The last event that watchers have been sent. */
  private toldNumber = 0;

  constructor(options: FeedOptions) {
    this.options = options;
  }

  get size(): number {
    return this.watchers.size;
  }

  hasRoom(): boolean {
    return this.watchers.size < MAX_WATCHERS;
  }

  watch(watcher: Watcher): void {
    const { version, events } = this.options;
    watcher.send(encode('start', { version, events: events.after(0) }));
    this.watchers.add(watcher);
    if (this.watchers.size > 1) return;
    this.toldNumber = events.lastNumber;
    this.timer = setInterval(() => void this.tick(), INTERVAL_MS);
    this.timer.unref();
    void this.tick();
  }

  forget(watcher: Watcher): void {
    this.watchers.delete(watcher);
    if (this.watchers.size > 0) return;
    clearInterval(this.timer);
    this.before = undefined;
  }

  /** Sends one sample to every watcher. */
  async tick(): Promise<void> {
    // The shards may take longer than a second to answer.
    if (this.isReading) return;
    this.isReading = true;
    try {
      const { stats, times, nowMs, events } = this.options;
      const reading = { stats: await stats(), times: await times(), atMs: nowMs() };
      if (this.watchers.size === 0) return;
      const sample = sampleOf(reading, this.before, events.after(this.toldNumber));
      this.before = reading;
      this.toldNumber = events.lastNumber;
      this.sendToAll(encode('sample', sample));
    } catch (error) {
      this.options.onError(error);
    } finally {
      this.isReading = false;
    }
  }

  close(): void {
    for (const watcher of this.watchers) {
      this.forget(watcher);
      watcher.end();
    }
  }

  private sendToAll(message: Buffer): void {
    for (const watcher of this.watchers) {
      if (watcher.send(message)) continue;
      this.forget(watcher);
      watcher.end();
    }
  }
}

function encode(event: string, data: object): Buffer {
  return Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}
