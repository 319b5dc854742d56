import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EventRing } from '../../src/dashboard/events.ts';
import { Feed, MAX_WATCHERS, type Watcher } from '../../src/dashboard/feed.ts';
import type { Stats } from '../../src/dashboard/samples.ts';
import { RefusalCounts } from '../../src/metrics/refusals.ts';

const STATS: Stats = {
  uptimeSeconds: 1,
  shards: [],
  memory: { limitBytes: 100, thresholdBytes: 70, ceilingBytes: 80, usedBytes: 50, heldBytes: 30 },
  refusals: new RefusalCounts().refusals,
};

class FakeWatcher implements Watcher {
  readonly got: {
    readonly event: string;
    readonly data: { readonly events: { readonly message: string }[] };
  }[] = [];
  takes = true;
  ends = 0;

  readonly send = (message: Buffer): boolean => {
    if (!this.takes) return false;
    const [, event, data] = /^event: (\w+)\ndata: (.*)\n\n$/.exec(message.toString())!;
    this.got.push({ event, data: JSON.parse(data) });
    return true;
  };

  readonly end = (): void => void this.ends++;

  get events(): string[] {
    return this.got.map(({ event }) => event);
  }

  get messages(): string[][] {
    return this.got.map(({ data }) => data.events.map(({ message }) => message));
  }
}

let events: EventRing;
let readings: number;
let read: () => Promise<Stats>;
let errors: unknown[];
let feed: Feed;

beforeEach(() => {
  vi.useFakeTimers();
  events = new EventRing(() => 5);
  readings = 0;
  read = () => Promise.resolve(STATS);
  errors = [];
  feed = new Feed({
    version: '1.2.3',
    stats: () => {
      readings++;
      return read();
    },
    times: () => Promise.resolve([]),
    events,
    nowMs: Date.now,
    onError: (error) => errors.push(error),
  });
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
});

describe('the feed', () => {
  test('reads nothing while nobody watches, and once a second however many do', async () => {
    events.add('info', {}, 'before');
    await vi.advanceTimersByTimeAsync(10_000);
    expect([readings, vi.getTimerCount()]).toStrictEqual([0, 0]);
    const watchers = [new FakeWatcher(), new FakeWatcher()];
    for (const watcher of watchers) feed.watch(watcher);
    await vi.advanceTimersByTimeAsync(3000);
    expect(readings).toBe(4);
    for (const watcher of watchers) {
      expect(watcher.events).toStrictEqual(['start', 'sample', 'sample', 'sample', 'sample']);
      expect(watcher.got[0].data).toMatchObject({ version: '1.2.3', events: [{ message: 'before' }] });
    }
    for (const watcher of watchers) feed.forget(watcher);
    await vi.advanceTimersByTimeAsync(10_000);
    expect([readings, vi.getTimerCount()]).toStrictEqual([4, 0]);
  });

  test('tells each event once', async () => {
    const watcher = new FakeWatcher();
    events.add('info', {}, 'a');
    feed.watch(watcher);
    await vi.advanceTimersByTimeAsync(0);
    events.add('info', {}, 'b');
    await vi.advanceTimersByTimeAsync(2000);
    expect(watcher.messages).toStrictEqual([['a'], [], ['b'], []]);
  });

  test('drops a watcher that does not take what it is sent', async () => {
    const [slow, quick] = [new FakeWatcher(), new FakeWatcher()];
    feed.watch(slow);
    feed.watch(quick);
    await vi.advanceTimersByTimeAsync(1000);
    slow.takes = false;
    await vi.advanceTimersByTimeAsync(2000);
    expect([slow.ends, quick.ends, feed.size, quick.got.length]).toStrictEqual([1, 0, 1, 5]);
  });

  test('is full at some time', () => {
    for (let i = 0; i < MAX_WATCHERS; i++) {
      expect(feed.hasRoom()).toBe(true);
      feed.watch(new FakeWatcher());
    }
    expect(feed.hasRoom()).toBe(false);
  });

  test('shards that take longer than a second are not asked again meanwhile', async () => {
    const { promise, resolve } = Promise.withResolvers<Stats>();
    read = () => promise;
    const watcher = new FakeWatcher();
    feed.watch(watcher);
    await vi.advanceTimersByTimeAsync(5000);
    expect([readings, watcher.events]).toStrictEqual([1, ['start']]);
    resolve(STATS);
    await vi.advanceTimersByTimeAsync(1000);
    expect([readings, watcher.events.length]).toStrictEqual([2, 3]);
  });

  test('goes on after a reading that failed, and says so', async () => {
    const failure = new Error('no figures');
    read = () => Promise.reject(failure);
    const watcher = new FakeWatcher();
    feed.watch(watcher);
    await vi.advanceTimersByTimeAsync(0);
    read = () => Promise.resolve(STATS);
    await vi.advanceTimersByTimeAsync(1000);
    expect([errors, watcher.events]).toStrictEqual([[failure], ['start', 'sample']]);
  });

  test('ends all watchers when it is closed', () => {
    const watcher = new FakeWatcher();
    feed.watch(watcher);
    feed.close();
    expect([watcher.ends, feed.size, vi.getTimerCount()]).toStrictEqual([1, 0, 0]);
  });
});
