import type { ShardStats } from '../shared/counters.ts';
import { hashKey, shardOfHash } from '../shared/key-hash.ts';
import {
  BUSY,
  CLEARED,
  HANDED_OVER_BYTES,
  type Payload,
  type ShedResult,
  UNAVAILABLE,
  type UnsentPut,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
} from '../shared/protocol.ts';
import type { Receiver } from '../mailbox/shard-mailbox.ts';
import type { Shard, ShardState } from './shard.ts';

/** Deadlines are looked at so many times before one has passed that none is missed by much. */
const SWEEPS_PER_DEADLINE = 20;
const LEAST_SWEEP_INTERVAL_MS = 5;
const HEARTBEAT_INTERVAL_MS = 250;

/** One shard's row in `/stats`. Counts are those of its present thread, but for restarts and rejections. */
export interface ShardRow {
  readonly shard: number;
  readonly state: ShardState;
  readonly restarts: number;
  readonly inFlight: number;
  readonly busyRejections: number;
  /** Absent while the shard does not answer. */
  readonly stats: ShardStats | undefined;
}

/** How many entries went, or the reply code of a shard that failed. */
export type Cleared = { readonly removed: number } | { readonly failed: number };

/** Key → shard. Every request ends in exactly one call of its receiver's `settle`. */
export class ShardRouter {
  readonly shards: readonly Shard[];
  private readonly seed: readonly [number, number];
  private readonly busyRejections: number[];
  private readonly timers: NodeJS.Timeout[];

  /** @param deadlineMs how long a request may wait for its shard. */
  constructor(shards: readonly Shard[], seed: readonly [number, number], deadlineMs: number) {
    this.shards = shards;
    this.seed = seed;
    this.busyRejections = shards.map(() => 0);
    this.timers = [
      setInterval(
        () => {
          for (const shard of shards) shard.mailbox?.sweepDeadlines();
        },
        Math.max(LEAST_SWEEP_INTERVAL_MS, deadlineMs / SWEEPS_PER_DEADLINE),
      ),
      setInterval(() => {
        for (const shard of shards) shard.checkHeartbeat();
      }, HEARTBEAT_INTERVAL_MS),
    ];
    for (const timer of this.timers) timer.unref();
  }

  /** True while large replies wait for room. */
  get lacksRoom(): boolean {
    return this.shards.some(({ mailbox }) => mailbox?.lacksRoom);
  }

  get(key: string, acceptsGzip: boolean, receiver: Receiver): void {
    this.send(key, encodeGet(key, acceptsGzip), receiver, 'read');
  }

  /** @param ttlMs 0 for an entry that does not expire. */
  put(key: string, value: string, ttlMs: number, receiver: Receiver): void {
    const isLarge = value.length >= HANDED_OVER_BYTES;
    const request = isLarge ? { key, value, ttlMs } : encodePut(key, value, ttlMs);
    this.send(key, request, receiver, 'write');
  }

  delete(key: string, receiver: Receiver): void {
    this.send(key, encodeDelete(key), receiver, 'write');
  }

  /** Empties every shard. @returns how many entries there were, or the code of the first that failed. */
  async clear(): Promise<Cleared> {
    const settled = await Promise.all(
      this.shards.map(
        (shard) =>
          new Promise<{ code: number; payload: Payload }>((resolve) => {
            const settle = (code: number, payload: Payload): void => resolve({ code, payload });
            this.sendTo(shard, encodeClear(), { connection: undefined, settle }, 'write');
          }),
      ),
    );
    const failed = settled.find(({ code }) => code !== CLEARED);
    if (failed) return { failed: failed.code };
    return { removed: settled.reduce((sum, { payload }) => sum + Number(payload), 0) };
  }

  async stats(): Promise<ShardRow[]> {
    return Promise.all(
      this.shards.map(async (shard) => {
        const reply = await shard.mailbox?.control({ kind: 'stats' });
        return {
          shard: shard.number,
          state: shard.state,
          restarts: shard.restarts,
          inFlight: shard.mailbox?.inFlight ?? 0,
          busyRejections: this.busyRejections[shard.number],
          stats: reply?.kind === 'stats' ? reply.stats : undefined,
        };
      }),
    );
  }

  /** @param orders bytes to shed, one number per shard. */
  async shed(orders: readonly number[]): Promise<(ShedResult | undefined)[]> {
    return Promise.all(
      this.shards.map(async (shard, i) => {
        if (orders[i] === 0) return undefined;
        const reply = await shard.mailbox?.control({ kind: 'shed', shedBytes: orders[i] });
        return reply?.kind === 'shed' ? reply.result : undefined;
      }),
    );
  }

  get isReady(): boolean {
    return this.shards.every((shard) => shard.state === 'up');
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all(this.shards.map((shard) => shard.stop()));
  }

  private send(key: string, request: string | UnsentPut, receiver: Receiver, kind: 'read' | 'write'): void {
    const hash = hashKey(key, this.seed[0], this.seed[1]);
    this.sendTo(this.shards[shardOfHash(hash, this.shards.length)], request, receiver, kind);
  }

  private sendTo(
    shard: Shard,
    request: string | UnsentPut,
    receiver: Receiver,
    kind: 'read' | 'write',
  ): void {
    const { mailbox } = shard;
    if (!mailbox) {
      receiver.settle(UNAVAILABLE, '');
    } else if (!(kind === 'read' ? mailbox.hasRoom() : mailbox.hasRoomToWrite())) {
      this.busyRejections[shard.number]++;
      receiver.settle(BUSY, '');
    } else {
      mailbox.send(request, receiver);
    }
  }
}
