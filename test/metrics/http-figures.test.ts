import { describe, expect, test } from 'vitest';
import {
  type HttpFigures,
  addHttpFigures,
  countsAlone,
  readHttpFigures,
} from '../../src/metrics/http-figures.ts';
import { Traffic } from '../../src/metrics/traffic.ts';

/** One thread that has answered a GET with each of these statuses, each in 3 ms. */
function figuresOf(statuses: readonly number[]): HttpFigures {
  const traffic = new Traffic({ onSlow: () => undefined, onConnectionPressure: () => undefined });
  traffic.kinds.add('GET', '/cache/:key');
  const kind = traffic.kinds.of('GET', '/cache/a');
  for (const status of statuses) traffic.times.record(kind, status, 3);
  traffic.counts.refusals.shard_busy += statuses.length;
  traffic.cutOff('stalled');
  return readHttpFigures({
    app: {
      traffic,
      purse: { totals: { requests: 1, unreadBytes: 20, unsentBytes: 300 } },
      frontDoor: { size: 4, waitingCount: 5, limits: { maxConnections: 100 } },
    },
    router: {
      routing: [
        { inFlight: 1, busyRejections: 2 },
        { inFlight: 3, busyRejections: 4 },
      ],
    },
  });
}

describe('the figures of several HTTP threads', () => {
  test('are added up', () => {
    const { times, ...sum } = addHttpFigures([figuresOf([200, 404]), figuresOf([200]), figuresOf([503])]);
    expect(sum).toMatchObject({
      connections: { open: 12, waiting: 15, limit: 300 },
      holds: { requests: 3, unreadBytes: 60, unsentBytes: 900 },
      refusals: { shard_busy: 4, bodies: 0 },
      cutOffs: { stalled: 3, waited: 0 },
      routing: [
        { inFlight: 3, busyRejections: 6 },
        { inFlight: 9, busyRejections: 12 },
      ],
    });
    const counts = times.map(({ method, route, status, cumulative, sumMs }) => [
      `${method} ${route} ${status}`,
      cumulative.at(-1),
      sumMs,
    ]);
    expect(counts).toStrictEqual([
      ['GET /cache/{key} 200', 2, 6],
      ['GET /cache/{key} 404', 1, 3],
      ['GET /cache/{key} 503', 1, 3],
    ]);
  });

  test('of one thread are its own', () => {
    const figures = figuresOf([200]);
    expect(addHttpFigures([figures])).toStrictEqual(figures);
  });

  test('of a thread that has ended are what it had counted, and nothing that it held', () => {
    const figures = figuresOf([200, 200]);
    const left = countsAlone(figures);
    expect(left).toMatchObject({
      connections: { open: 0, waiting: 0, limit: 0 },
      holds: { requests: 0, unreadBytes: 0, unsentBytes: 0 },
      refusals: figures.refusals,
      cutOffs: figures.cutOffs,
      routing: [
        { inFlight: 0, busyRejections: 2 },
        { inFlight: 0, busyRejections: 4 },
      ],
    });
    expect(left.times).toStrictEqual(figures.times);
  });
});
