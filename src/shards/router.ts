import { hashKey, shardOfHash } from '../shared/key-hash.ts';
import type { ShardStats } from '../shared/stats-counters.ts';
import type { ThreadFigures } from '../shared/thread-meter.ts';
import type { TierFigures } from '../shared/tier.ts';
import {
  BUSY,
  CLEARED,
  type EntryFacts,
  HANDED_OVER_BYTES,
  OVERDUE,
  type Payload,
  RAW_DELETE,
  RAW_GET,
  RAW_GET_GZIP,
  RAW_HEAD,
  type ShedResult,
  TOO_LARGE,
  UNAVAILABLE,
  type UnsentPut,
  decodeU32,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
  encodeRawPut,
  encodeRawRequest,
} from '../shared/protocol.ts';
import {
  type Conditions,
  type PutOptions,
  encodeConditions,
  encodePutOptions,
} from '../shared/raw-entries.ts';
import { guaranteeFor, maxEntryBytes, maxLargeValueBytes } from '../shared/segment-sizes.ts';
import type { Ledger } from '../shared/ledger.ts';
import type { StatsReply } from './control-channel.ts';
import type { PendingRequest } from './pending-requests.ts';
import type { Shard, ShardState } from './shard.ts';
import type { TierWatch } from './tier.ts';
import type { Upload } from './upload.ts';

/** Sweeps per deadline: a request is settled at most a twentieth of its deadline too late. */
const SWEEPS_PER_DEADLINE = 20;
const MIN_SWEEP_INTERVAL_MS = 5;
const HEARTBEAT_INTERVAL_MS = 250;
/** An engine behind the shards may have many keys to remove: `DELETE /cache` waits for this many deadlines. */
const MAX_CLEAR_WAITS = 60;
/** Longer raw values cross in pieces. */
export const MAX_WHOLE_BYTES = 2 ** 20;

/** One shard's row in `/stats`. Counts are those of its present thread, except restarts and rejections. */
export interface ShardRow {
  readonly shard: number;
  readonly state: ShardState;
  readonly restarts: number;
  readonly inFlight: number;
  readonly busyRejections: number;
  /** Absent while the shard does not answer. */
  readonly stats: ShardStats | undefined;
  /** Absent where it was not asked for, too. */
  readonly thread: ThreadFigures | undefined;
  /** Absent where there is no engine behind the shard, too. */
  readonly tier: TierFigures | undefined;
}

/** Which shard a key belongs to, and what is known of its entry: absent where there is none. */
export interface Inspection {
  readonly shard: number;
  readonly entry: EntryFacts | undefined;
}

/** The number of removed entries, or the reply code of a shard that failed. */
export type Cleared = { readonly removed: number } | { readonly failed: number };

/** Key → shard. Every request ends in exactly one call of its `settle`. */
export class ShardRouter {
  readonly shards: readonly Shard[];
  private readonly ledger: Ledger;
  private readonly seed: readonly [number, number];
  private readonly busyRejections: number[];
  private readonly timers: NodeJS.Timeout[];
  private readonly tierWatch: TierWatch | undefined;

  /**
   * @param ledger of the shards: it says how large a value may be.
   * @param seed of the hash that places keys. Clients must not know it: they could send all keys to one shard.
   * @param deadlineMs how long a request may wait for its shard.
   * @param tierWatch is closed with the shards.
   */
  constructor(
    shards: readonly Shard[],
    ledger: Ledger,
    seed: readonly [number, number],
    deadlineMs: number,
    tierWatch?: TierWatch,
  ) {
    this.tierWatch = tierWatch;
    this.shards = shards;
    this.ledger = ledger;
    this.seed = seed;
    this.busyRejections = shards.map(() => 0);
    const sweepIntervalMs = Math.max(MIN_SWEEP_INTERVAL_MS, deadlineMs / SWEEPS_PER_DEADLINE);
    this.timers = [
      setInterval(() => shards.forEach((shard) => shard.mailbox?.sweepDeadlines()), sweepIntervalMs),
      setInterval(() => shards.forEach((shard) => shard.checkHeartbeat()), HEARTBEAT_INTERVAL_MS),
    ];
    for (const timer of this.timers) timer.unref();
  }

  get isReady(): boolean {
    return this.shards.every((shard) => shard.state === 'up');
  }

  /** True while replies wait for room in the reply window of a shard. */
  get awaitsReplyRoom(): boolean {
    return this.shards.some(({ mailbox }) => mailbox?.awaitsReplyRoom);
  }

  get(key: string, acceptsGzip: boolean, pending: PendingRequest): void {
    this.send(this.shardOf(key), encodeGet(key, acceptsGzip), pending, 'read');
  }

  /** @param ttlMs 0 for an entry that does not expire. */
  put(key: string, value: string, ttlMs: number, pending: PendingRequest): void {
    const isLarge = value.length >= HANDED_OVER_BYTES;
    const request = isLarge ? { key, value, ttlMs } : encodePut(key, value, ttlMs);
    this.send(this.shardOf(key), request, pending, 'write');
  }

  delete(key: string, pending: PendingRequest): void {
    this.send(this.shardOf(key), encodeDelete(key), pending, 'write');
  }

  /** @param conditions where If-None-Match is not met, the reply is NOT_MODIFIED. */
  getRaw(key: string, acceptsGzip: boolean, conditions: Conditions, pending: PendingRequest): void {
    this.sendRaw(acceptsGzip ? RAW_GET_GZIP : RAW_GET, key, conditions, pending, 'read');
  }

  /** As `getRaw`, but the reply has no body. */
  headRaw(key: string, conditions: Conditions, pending: PendingRequest): void {
    this.sendRaw(RAW_HEAD, key, conditions, pending, 'read');
  }

  /** Stores a value whole. Larger ones go by `beginUpload`. */
  putRaw(key: string, value: Buffer, options: PutOptions, pending: PendingRequest): void {
    const rawOptions = encodePutOptions(options);
    const request =
      value.length >= HANDED_OVER_BYTES
        ? { key, value, ttlMs: 0, rawOptions }
        : encodeRawPut(key, rawOptions, value.toString('latin1'));
    this.send(this.shardOf(key), request, pending, 'write');
  }

  /** Whether a value is stored by `putRaw`; others go by `beginUpload`. */
  takesWhole(key: string, valueBytes: number): boolean {
    if (valueBytes > MAX_WHOLE_BYTES) return false;
    return guaranteeFor(maxEntryBytes(key.length, valueBytes)) <= this.ledger.guarantee;
  }

  /** The largest value that a shard can ever hold. */
  get maxValueBytes(): number {
    return maxLargeValueBytes(this.ledger.most);
  }

  /**
   * Begins to store a value that comes in pieces.
   * @param valueBytes 0 if nobody knows yet.
   * @returns once the shard has room for the first piece; or the code by which it is refused.
   */
  async beginUpload(key: string, valueBytes: number): Promise<Upload | number> {
    if (valueBytes > this.maxValueBytes) return TOO_LARGE;
    return this.shardOf(key).mailbox?.largeValues.beginUpload(key, valueBytes) ?? UNAVAILABLE;
  }

  deleteRaw(key: string, conditions: Conditions, pending: PendingRequest): void {
    this.sendRaw(RAW_DELETE, key, conditions, pending, 'write');
  }

  /** Empties every shard. @returns how many entries there were, or the code of the first shard that failed. */
  async clear(): Promise<Cleared> {
    // The first one empties the engine behind the shards, if there is one. Then the others drop their copies.
    const [first, ...others] = this.shards;
    let cleared = await this.clearShard(first);
    // It goes on, and asking again waits for the same end.
    for (let tries = 0; cleared.code === OVERDUE && this.tierWatch && tries < MAX_CLEAR_WAITS; tries++) {
      cleared = await this.clearShard(first);
    }
    const replies = [cleared, ...(await Promise.all(others.map((shard) => this.clearShard(shard))))];
    const failed = replies.find(({ code }) => code !== CLEARED);
    if (failed) return { failed: failed.code };
    return { removed: replies.reduce((sum, { removed }) => sum + removed, 0) };
  }

  /** What each shard has counted, as of now. */
  stats(): Promise<ShardRow[]> {
    return Promise.all(
      this.shards.map(async (shard) => {
        const reply = await shard.mailbox?.control.request({ kind: 'stats' });
        return this.rowOf(shard, reply?.kind === 'stats' ? reply : undefined);
      }),
    );
  }

  /** The same as of the last second, with what the threads have done: from then on they sample it for a while. */
  figures(): Promise<ShardRow[]> {
    return Promise.all(
      this.shards.map(async (shard) => this.rowOf(shard, await shard.mailbox?.control.figures())),
    );
  }

  /** Neither counts as a read nor changes the order of use. @returns undefined where the shard does not answer. */
  async inspect(key: string): Promise<Inspection | undefined> {
    const { number, mailbox } = this.shardOf(key);
    const reply = await mailbox?.control.request({ kind: 'inspect', key });
    return reply?.kind === 'inspect' ? { shard: number, entry: reply.entry } : undefined;
  }

  /** @param orders bytes to shed, one number per shard. @returns undefined for a shard that had no order, or died. */
  shed(orders: readonly number[]): Promise<(ShedResult | undefined)[]> {
    return Promise.all(
      this.shards.map(async ({ mailbox }, i) => {
        if (orders[i] === 0) return undefined;
        const reply = await mailbox?.control.request({ kind: 'shed', shedBytes: orders[i] });
        return reply?.kind === 'shed' ? reply.result : undefined;
      }),
    );
  }

  /** Starts all shards. @returns when all are up. */
  async start(): Promise<void> {
    await Promise.all(this.shards.map((shard) => shard.start()));
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all(this.shards.map((shard) => shard.stop()));
    this.tierWatch?.close();
  }

  private rowOf(shard: Shard, reply: StatsReply | undefined): ShardRow {
    return {
      shard: shard.number,
      state: shard.state,
      restarts: shard.restarts,
      inFlight: shard.mailbox?.inFlight ?? 0,
      busyRejections: this.busyRejections[shard.number],
      stats: reply?.stats,
      thread: reply?.thread,
      tier: reply?.tier,
    };
  }

  private shardOf(key: string): Shard {
    return this.shards[shardOfHash(hashKey(key, this.seed[0], this.seed[1]), this.shards.length)];
  }

  private sendRaw(
    opcode: number,
    key: string,
    conditions: Conditions,
    pending: PendingRequest,
    kind: 'read' | 'write',
  ): void {
    this.send(this.shardOf(key), encodeRawRequest(opcode, key, encodeConditions(conditions)), pending, kind);
  }

  private send(
    shard: Shard,
    request: string | UnsentPut,
    pending: PendingRequest,
    kind: 'read' | 'write',
  ): void {
    const { mailbox } = shard;
    if (!mailbox) {
      pending.settle(UNAVAILABLE, '');
    } else if (!mailbox.hasRoomFor(kind)) {
      this.busyRejections[shard.number]++;
      pending.settle(BUSY, '');
    } else {
      mailbox.send(request, pending);
    }
  }

  private clearShard(shard: Shard): Promise<{ readonly code: number; readonly removed: number }> {
    return new Promise((resolve) => {
      const settle = (code: number, payload: Payload): void => {
        const removed = code === CLEARED && typeof payload === 'string' ? decodeU32(payload, 0) : 0;
        resolve({ code, removed });
      };
      this.send(shard, encodeClear(), { connection: undefined, settle }, 'write');
    });
  }
}
