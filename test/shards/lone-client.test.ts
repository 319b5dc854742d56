import { describe, expect, test } from 'vitest';
import { LoneClient, pollingPolicy } from '../../src/shards/lone-client.ts';
import { WAIT_MS } from '../../src/shared/doorbell.ts';

test.each([
  { shards: 1, processors: 1, pollsForRequests: false, maxPolledFor: 0 },
  { shards: 1, processors: 2, pollsForRequests: true, maxPolledFor: 3 },
  { shards: 2, processors: 2, pollsForRequests: false, maxPolledFor: 1 },
  { shards: 7, processors: 8, pollsForRequests: false, maxPolledFor: 1 },
])('$shards shard(s), $processors processor(s)', ({ shards, processors, ...policy }) => {
  expect(pollingPolicy(shards, processors)).toStrictEqual(policy);
});

const SOON_MS = WAIT_MS / 4;
const LATER_MS = WAIT_MS * 4;

/** A shard that replies to all requests of a turn before the next turn. */
class Scene {
  nowMs = 1000;
  readonly client: LoneClient;

  constructor(maxPolledFor = 2) {
    this.client = new LoneClient(maxPolledFor);
  }

  /** A turn that brings `requests`. @returns what is decided about the last of them, and at the turn's end. */
  turn(
    requests: number,
    { afterMs = SOON_MS, connection }: { afterMs?: number; connection?: object | undefined } = {},
  ): { readonly isAlone: boolean; readonly skipsBatch: boolean; readonly polls: boolean } {
    this.nowMs += afterMs;
    for (let inFlight = 1; inFlight <= requests; inFlight++) {
      this.client.sent(connection, inFlight, this.nowMs);
    }
    return {
      isAlone: this.client.isAlone(requests, this.nowMs),
      skipsBatch: this.client.skipsBatch(requests, this.nowMs),
      polls: this.client.isWorthPolling(requests, this.nowMs),
    };
  }

  /** As many turns of one request as make a client a lone one. */
  settleIn(connection?: object): void {
    for (let ms = 0; ms <= WAIT_MS + SOON_MS; ms += SOON_MS) this.turn(1, { connection });
  }
}

describe('LoneClient', () => {
  test('one connection that asks one thing after the other is a lone client: no batch, busy-waits', () => {
    const scene = new Scene();
    expect(scene.turn(1)).toStrictEqual({ isAlone: true, skipsBatch: false, polls: false });
    scene.settleIn();
    expect(scene.turn(1)).toStrictEqual({ isAlone: true, skipsBatch: true, polls: true });
  });

  test('a second request in flight makes a crowd of it, until it has been alone for a while', () => {
    const scene = new Scene();
    scene.settleIn();
    expect(scene.turn(2)).toMatchObject({ isAlone: false, skipsBatch: false });
    expect(scene.turn(1)).toMatchObject({ isAlone: false, skipsBatch: false });
    scene.settleIn();
    expect(scene.turn(1)).toMatchObject({ isAlone: true, skipsBatch: true });
  });

  test('two clients by turns are not alone, though only one request is in flight at a time', () => {
    const scene = new Scene();
    const connections = [{}, {}];
    scene.settleIn(connections[0]);
    for (let i = 1; i < 20; i++) {
      const decided = scene.turn(1, { connection: connections[i % 2] });
      expect(decided).toMatchObject({ isAlone: false, skipsBatch: false });
    }
  });

  test('a request that comes a while after the last one goes with its batch, and is not polled for', () => {
    const scene = new Scene();
    scene.settleIn();
    expect(scene.turn(1, { afterMs: LATER_MS })).toMatchObject({ skipsBatch: false, polls: false });
  });

  test('polls for as many requests as it may, and no more', () => {
    const scene = new Scene(2);
    scene.settleIn();
    expect([1, 2, 3].map((requests) => scene.turn(requests).polls)).toStrictEqual([true, true, false]);
    const never = new Scene(0);
    never.settleIn();
    expect(never.turn(1)).toMatchObject({ skipsBatch: false, polls: false });
  });

  test('does not poll for a few requests soon after many: that would keep their batches short', () => {
    const scene = new Scene();
    scene.settleIn();
    scene.turn(4);
    expect([1, 2].map(() => scene.turn(1).polls)).toStrictEqual([false, false]);
    scene.settleIn();
    expect(scene.turn(1).polls).toBe(true);
  });

  test('after a vain busy-wait the next request is treated like any other', () => {
    const scene = new Scene();
    scene.settleIn();
    scene.client.polledInVain();
    expect(scene.turn(1)).toMatchObject({ skipsBatch: false, polls: false });
    expect(scene.turn(1)).toMatchObject({ skipsBatch: true, polls: true });
  });
});
