import { beforeEach, describe, expect, test } from 'vitest';
import { ControlChannel } from '../../src/shards/control-channel.ts';
import type { ControlRequest } from '../../src/shared/protocol.ts';
import type { ShardStats } from '../../src/shared/stats-counters.ts';
import type { ThreadFigures } from '../../src/shared/thread-meter.ts';

const RESULT = { shedBytes: 5, shedEntries: 1, releasedBytes: 5, longestSliceMs: 1 };

let nowMs: number;
let posted: ControlRequest[];
let channel: ControlChannel;

beforeEach(() => {
  nowMs = 1000;
  posted = [];
  channel = new ControlChannel(
    (request) => posted.push(request),
    () => nowMs,
  );
});

test('each reply finds its request, in whatever order they come', async () => {
  const first = channel.request({ kind: 'shed', shedBytes: 5 });
  const second = channel.request({ kind: 'ping' });
  expect(posted).toStrictEqual([
    { kind: 'shed', shedBytes: 5, id: 1 },
    { kind: 'ping', id: 2 },
  ]);
  channel.receive({ kind: 'ping', id: 2 });
  channel.receive({ kind: 'shed', id: 1, result: RESULT });
  expect(await Promise.all([first, second])).toStrictEqual([
    { kind: 'shed', id: 1, result: RESULT },
    { kind: 'ping', id: 2 },
  ]);
});

test('requests have a deadline, shed orders take as long as they take', async () => {
  const stats = channel.request({ kind: 'stats' });
  const shed = channel.request({ kind: 'shed', shedBytes: 5 });
  nowMs += 1;
  const young = channel.request({ kind: 'ping' });
  channel.expire(nowMs - 1);
  expect(await stats).toBeUndefined();
  channel.receive({ kind: 'shed', id: 2, result: RESULT });
  channel.receive({ kind: 'ping', id: 3 });
  expect(await Promise.all([shed, young])).toMatchObject([{ kind: 'shed' }, { kind: 'ping' }]);
});

test('closed, it has no replies to give', async () => {
  const before = channel.request({ kind: 'shed', shedBytes: 5 });
  channel.close();
  expect(await before).toBeUndefined();
  expect(await channel.request({ kind: 'stats' })).toBeUndefined();
  expect(posted).toHaveLength(1);
});

test('a heartbeat pings once, and counts from then on until the shard is heard', () => {
  nowMs += 250;
  expect(channel.heartbeat()).toBe(0);
  nowMs += 250;
  expect(channel.heartbeat()).toBe(250);
  nowMs += 250;
  expect(channel.heartbeat()).toBe(500);
  expect(posted).toStrictEqual([{ kind: 'ping', id: 1 }]);
  channel.heard();
  nowMs += 250;
  expect(channel.heartbeat()).toBe(0);
  expect(posted).toHaveLength(2);
});

describe('figures', () => {
  const FIGURES = { stats: {} as ShardStats, thread: {} as ThreadFigures };

  /** Beats as the router does, and answers at once. @returns the kinds of message that the shard got. */
  function beat(forMs: number): string[] {
    const before = posted.length;
    for (const endMs = nowMs + forMs; nowMs < endMs;) {
      nowMs += 250;
      channel.heard();
      const sent = posted.length;
      channel.heartbeat();
      const request = posted.at(-1)!;
      if (posted.length > sent && request.kind === 'stats') answer(request.id);
    }
    return posted.slice(before).map(({ kind }) => kind);
  }

  function answer(id: number): void {
    channel.receive({ kind: 'stats', id, ...FIGURES });
  }

  test('are asked for where there are none, and kept for a second', async () => {
    const first = channel.figures();
    expect(posted).toStrictEqual([{ kind: 'stats', withThread: true, id: 1 }]);
    answer(1);
    expect(await first).toMatchObject(FIGURES);
    nowMs += 1000;
    expect(await channel.figures()).toMatchObject(FIGURES);
    expect(posted).toHaveLength(1);
    nowMs += 1;
    void channel.figures();
    expect(posted).toHaveLength(2);
  });

  test('are brought by heartbeats while somebody asks, and then no more', async () => {
    expect(beat(2000)).not.toContain('stats');
    void channel.figures();
    answer(posted.length);
    expect(beat(2000)).toStrictEqual(['ping', 'stats', 'ping', 'stats', 'ping', 'stats', 'ping', 'stats']);
    const sent = posted.length;
    expect(await channel.figures()).toMatchObject(FIGURES);
    expect(posted).toHaveLength(sent);
    beat(60_000);
    expect(beat(2000)).not.toContain('stats');
  });

  test('are not those of a shard that does not answer', async () => {
    void channel.figures();
    answer(1);
    nowMs += 2000;
    const asked = channel.figures();
    channel.expire(nowMs);
    expect(await asked).toBeUndefined();
  });
});
