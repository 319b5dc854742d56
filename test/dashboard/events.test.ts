import { beforeEach, describe, expect, test } from 'vitest';
import { EventRing } from '../../src/dashboard/events.ts';
import { logEvent, pressureChanged, shardDied, shedOrderDone } from '../../src/log-events.ts';

const MIB = 2 ** 20;
const LIMITS = {
  limitBytes: 256 * MIB,
  thresholdBytes: 179 * MIB,
  ceilingBytes: 100 * MIB,
  marginBytes: MIB,
  guaranteeBytes: MIB,
};
const ORDER = {
  atMs: 0,
  askedBytes: 71 * MIB,
  askedPerShard: [71 * MIB],
  shedBytes: 72 * MIB,
  shedEntries: 9,
  releasedBytes: 74 * MIB,
  usedBeforeBytes: 200 * MIB,
  tookMs: 210,
  longestSliceMs: 1,
};

let nowMs: number;
let ring: EventRing;
let written: [level: string, fields: object, message: string][];

beforeEach(() => {
  nowMs = 1000;
  written = [];
  ring = new EventRing(() => nowMs);
});

function write(level: string) {
  return (fields: object, message: string): void => void written.push([level, fields, message]);
}

function sink(keepsDebug = false) {
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  return ring.recording(log, keepsDebug);
}

describe('the ring of events', () => {
  test('keeps what is logged in the words of the log, and says what charts mark', () => {
    const log = sink();
    const error = new Error('out of heap');
    logEvent(log, shedOrderDone(ORDER, 0.1));
    nowMs = 2000;
    logEvent(log, shardDied(1, MIB, error));
    logEvent(log, pressureChanged({ kind: 'threshold', isOn: true, lastedMs: 0 }, 180 * MIB, LIMITS));
    log.error({ err: error }, 'memory was not looked at');
    expect(ring.after(0)).toStrictEqual([
      {
        number: 1,
        atMs: 1000,
        level: 'info',
        message: expect.stringContaining('asked 71 MiB'),
        mark: 'shed',
      },
      {
        number: 2,
        atMs: 2000,
        level: 'error',
        message: expect.stringContaining('shard 1 died'),
        mark: 'death',
      },
      { number: 3, atMs: 2000, level: 'info', message: expect.stringContaining('over the threshold') },
      { number: 4, atMs: 2000, level: 'error', message: 'memory was not looked at' },
    ]);
    expect(written.map(([level, , message]) => [level, message])).toStrictEqual(
      ring.after(0).map(({ level, message }) => [level, message]),
    );
    expect(written[0][1]).toStrictEqual({ order: ORDER });
  });

  test('tells what came after a number', () => {
    const log = sink();
    for (const message of ['a', 'b', 'c']) log.info({}, message);
    expect(ring.after(1).map(({ message }) => message)).toStrictEqual(['b', 'c']);
    expect([ring.after(3), ring.lastNumber]).toStrictEqual([[], 3]);
  });

  test('stays small however much is logged, and however long a line is', () => {
    const log = sink();
    for (let i = 0; i < 1000; i++) log.warn({}, `${i} ${'x'.repeat(100_000)}`);
    const kept = ring.after(0);
    expect([kept.length, kept[0].number, kept.at(-1)!.number]).toStrictEqual([100, 901, 1000]);
    expect(kept.at(-1)!.message).toBe(`999 ${'x'.repeat(396)}…`);
    expect(written[999][2].length).toBeGreaterThan(100_000);
  });

  test.each([true, false])('keeps lines of level debug where the log has them: %s', (keepsDebug) => {
    sink(keepsDebug).debug({}, 'slow');
    expect([ring.after(0).length, written.length]).toStrictEqual([keepsDebug ? 1 : 0, 1]);
  });
});
