import { describe, expect, test } from 'vitest';
import {
  type LogEvent,
  type LogSink,
  connectionPressureChanged,
  filesNotTaken,
  filesReadAgain,
  linesLost,
  listening,
  pressureChanged,
  requestWasSlow,
  shardDied,
  shardIsBackUp,
  shedOrderDone,
  stopped,
  stopping,
} from '../../src/log-events.ts';
import type { OrderReport } from '../../src/memory/supervisor.ts';
import { startTestServer } from '../support/server.ts';

const MIB = 2 ** 20;
const LIMITS = {
  limitBytes: 256 * MIB,
  thresholdBytes: 179 * MIB,
  ceilingBytes: 100 * MIB,
  marginBytes: MIB,
  guaranteeBytes: MIB,
};
const ORDER: OrderReport = {
  atMs: 0,
  askedBytes: 71 * MIB,
  askedPerShard: [71 * MIB],
  shedBytes: 72 * MIB,
  shedEntries: 9,
  releasedBytes: 74 * MIB,
  usedBeforeBytes: 200 * MIB,
  tookMs: 210.4,
  longestSliceMs: 1,
};
const GROUP = { version: 2, folder: '/sys/fs/cgroup' } as const;
const FILE = '/sys/fs/cgroup/memory.high';
const HIGH = { limitBytes: 256 * MIB, source: 'cgroup v2 memory.high', group: GROUP, file: FILE } as const;

describe('events', () => {
  test.each<[LogEvent, LogEvent['level'], string]>([
    [
      listening('http://127.0.0.1:7171', { SHARDS: 2, FRONTS: 1 }, LIMITS, HIGH),
      'info',
      'listening on http://127.0.0.1:7171 with 2 shards; memory limit 256 MiB (cgroup v2 memory.high)',
    ],
    [
      shardDied(1, 12 * MIB, new Error('out of heap')),
      'error',
      'shard 1 died, and 12 MiB of entries with it: out of heap',
    ],
    [shardIsBackUp(1, 123.4), 'info', 'shard 1 is back up after 123 ms, empty'],
    [shedOrderDone(ORDER, 0.1), 'info', 'shed 10 %: asked 71 MiB, freed 74 MiB in 210 ms'],
    [shedOrderDone(ORDER, 0.125), 'info', 'shed 12.5 %: asked 71 MiB, freed 74 MiB in 210 ms'],
    [
      pressureChanged({ kind: 'threshold', isOn: true, lastedMs: 0 }, 180 * MIB, LIMITS),
      'info',
      'memory is over the threshold: 180 MiB of 256 MiB are used; the least recently used entries are shed',
    ],
    [
      pressureChanged({ kind: 'threshold', isOn: false, lastedMs: 12_340 }, 150 * MIB, LIMITS),
      'info',
      'memory is below the threshold again after 12.3 s: 150 MiB of 256 MiB are used',
    ],
    [
      pressureChanged({ kind: 'ceiling', isOn: true, lastedMs: 0 }, 180 * MIB, LIMITS),
      'info',
      'memory has reached the ceiling: 180 MiB of 256 MiB are used; each new entry evicts old ones',
    ],
    [
      pressureChanged({ kind: 'ceiling', isOn: false, lastedMs: 1000 }, 150 * MIB, LIMITS),
      'info',
      'memory is below the ceiling again after 1 s: 150 MiB of 256 MiB are used',
    ],
    [
      connectionPressureChanged({ kind: 'connections', isOn: true, lastedMs: 0 }, 2048),
      'info',
      'connections have reached their limit of 2048: further ones are refused',
    ],
    [
      connectionPressureChanged({ kind: 'connections', isOn: false, lastedMs: 12_340 }, 2048),
      'info',
      'connections are no longer refused after 12.3 s; their limit is 2048',
    ],
    [stopping('SIGTERM', 0, 0), 'info', 'SIGTERM: stopping; no request is in flight'],
    [stopping('SIGTERM', 1, 0), 'info', 'SIGTERM: stopping; waiting for 1 request in flight'],
    [
      stopping('SIGINT', 3, 5000),
      'info',
      'SIGINT: stopping; connections are taken for 5 s more; waiting for 3 requests in flight',
    ],
    [stopped(520.2, 0), 'info', 'stopped after 520 ms'],
    [stopped(4500, 2), 'info', 'stopped after 4500 ms; 2 requests had no answer'],
    [
      requestWasSlow({ method: 'GET', route: '/cache/{key}', status: 200, tookMs: 120.4, others: 0 }),
      'debug',
      'slow: GET /cache/{key} was answered 200 after 120 ms',
    ],
    [
      requestWasSlow({ method: 'PUT', route: '/cache', status: 0, tookMs: 1000, others: 7 }),
      'debug',
      'slow: PUT /cache had no answer after 1000 ms; 7 others were slow since the last such line',
    ],
    [filesReadAgain(), 'info', 'SIGHUP: token and certificate files were read again'],
    [
      filesNotTaken(['A: is bad', 'B: is too']),
      'error',
      'SIGHUP: the files are not taken, what was read before stays in force: A: is bad; B: is too',
    ],
    [linesLost(1, 'the disk was full'), 'warn', '1 log line was lost here: the disk was full'],
    [linesLost(1200, 'nobody read them'), 'warn', '1200 log lines were lost here: nobody read them'],
  ])('%#: one line of plain words', (event, level, message) => {
    expect([event.level, event.message]).toStrictEqual([level, message]);
  });

  test('have fields for machines', () => {
    expect(listening('http://[::1]:7171', { SHARDS: 1, FRONTS: 4 }, LIMITS, HIGH).fields).toStrictEqual({
      address: 'http://[::1]:7171',
      shards: 1,
      fronts: 4,
      limits: LIMITS,
      limitSource: 'cgroup v2 memory.high',
      limitFile: FILE,
    });
    expect(shedOrderDone(ORDER, 0.1).fields).toStrictEqual({ order: ORDER });
  });
});

test('a shard that dies is told of, and again when it is back', async () => {
  const seen: { level: string; message: string; fields: object }[] = [];
  const keep =
    (level: string) =>
    (fields: object, message: string): number =>
      seen.push({ level, message, fields });
  const sink: LogSink = {
    // On a busy machine a request may be slow, which is said here.
    debug: () => undefined,
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
  };
  await using server = await startTestServer({ SHARDS: '2' }, undefined, sink);
  await server.client.put('a', 'v');
  await server.router.shards[1].kill();
  await expect.poll(() => server.router.isReady && server.router.shards[1].restarts).toBe(1);
  expect(seen.map(({ level }) => level)).toStrictEqual(['info', 'error', 'info']);
  expect(seen[0].message).toMatch(/^listening on http:\/\/127\.0\.0\.1:\d+ with 2 shards; /);
  expect(seen[1].message).toMatch(/^shard 1 died, and .* of entries with it: /);
  expect(seen[2].message).toMatch(/^shard 1 is back up after \d+ ms, empty$/);
});
