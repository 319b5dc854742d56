import { hashKey, hashKeyBytes, shardOfHash } from '../shared/key-hash.ts';
import type { ShardStats } from '../shared/stats-counters.ts';
import type { ThreadFigures } from '../shared/thread-meter.ts';
import type { ShedResult } from '../shared/shed-result.ts';
import type { TierFigures } from '../shared/tier.ts';
import {
  BUSY,
  type EntryFacts,
  HANDED_OVER_BYTES,
  type Payload,
  RAW_DELETE,
  RAW_GET,
  RAW_GET_GZIP,
  RAW_HEAD,
  TOO_LARGE,
  TIER_UNAVAILABLE,
  UNAVAILABLE,
  type UnsentPut,
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
import { type ClearReply, type Cleared, clearAll, clearShard, clearThroughTier } from './clear.ts';
import type { StatsReply } from './control-channel.ts';
import type { Mailbox } from './mailbox.ts';
import type { PendingRequest } from './pending-requests.ts';
import type { Shard } from './shard.ts';
import type { ThreadState } from '../worker-threads/thread-life-cycle.ts';
import type { RouterTier } from './tier.ts';
import type { Upload } from './upload.ts';

/** Sweeps per deadline: a request is settled at most a twentieth of its deadline too late. */
const SWEEPS_PER_DEADLINE = 20;
const MIN_SWEEP_INTERVAL_MS = 5;
/** Longer raw values cross in pieces. */
export const MAX_WHOLE_BYTES = 2 ** 20;

/** A shard as one HTTP thread sees it. */
export interface RoutedShard {
  readonly number: number;
  readonly state: ThreadState;
  readonly restarts: number;
  /** Absent while the shard is not up. */
  readonly mailbox: Mailbox | undefined;
  readonly stop: () => Promise<void>;
}

/** The router of any HTTP thread. The main thread's also knows the life cycles of its shards. */
export type HttpRouter = ShardRouter<RoutedShard>;

/** What one HTTP thread counts of one shard. */
export interface RoutingFigures {
  readonly inFlight: number;
  readonly busyRejections: number;
}

/** One shard's row in `/stats`. Counts are those of its present thread, except restarts and rejections. */
export interface ShardRow extends RoutingFigures {
  readonly shard: number;
  readonly state: ThreadState;
  readonly restarts: number;
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

/** Where a listing of keys goes on. */
export interface KeyPlace {
  readonly shard: number;
  readonly cursor: number;
}

export interface KeyPage {
  readonly keys: string[];
  /** Absent at the end. */
  readonly next: KeyPlace | undefined;
}

/** Key → shard, on one HTTP thread. Every request ends in exactly one call of its `settle`. */
export class ShardRouter<Routed extends RoutedShard = Shard> {
  readonly shards: readonly Routed[];
  private readonly ledger: Ledger;
  private readonly seed: readonly [number, number];
  private readonly busyRejections: number[];
  private readonly sweepTimer: NodeJS.Timeout;
  private readonly tier: RouterTier | undefined;

  /**
   * @param ledger of the shards: it says how large a value may be.
   * @param seed of the hash that places keys. Clients must not know it: they could send all keys to one shard.
   * @param deadlineMs how long a request may wait for its shard.
   */
  constructor(
    shards: readonly Routed[],
    ledger: Ledger,
    seed: readonly [number, number],
    deadlineMs: number,
    tier?: RouterTier,
  ) {
    this.tier = tier;
    this.shards = shards;
    this.ledger = ledger;
    this.seed = seed;
    this.busyRejections = shards.map(() => 0);
    const sweepIntervalMs = Math.max(MIN_SWEEP_INTERVAL_MS, deadlineMs / SWEEPS_PER_DEADLINE);
    this.sweepTimer = setInterval(() => {
      for (const { mailbox } of shards) mailbox?.sweepDeadlines();
    }, sweepIntervalMs).unref();
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
  takesWhole(keyBytes: number, valueBytes: number): boolean {
    if (valueBytes > MAX_WHOLE_BYTES) return false;
    return guaranteeFor(maxEntryBytes(keyBytes, valueBytes)) <= this.ledger.guarantee;
  }

  /**
   * Sends requests of a client's batch to the shard that owns their keys.
   * @param requests as in `ClientBatch`.
   * @param size how many requests there are.
   * @param kind 'write' if one of them is.
   */
  sendBatch(
    shardNumber: number,
    requests: Payload,
    size: number,
    pending: PendingRequest,
    kind: 'read' | 'write',
  ): void {
    const mailbox = this.mailboxFor(this.shards[shardNumber], pending, kind);
    mailbox?.sendClientBatch(requests, size, pending);
  }

  /** The number of the shard that owns the key at these bytes. */
  shardNumberAt(bytes: Uint8Array, start: number, length: number): number {
    const [seed0, seed1] = this.seed;
    return shardOfHash(hashKeyBytes(bytes, start, length, seed0, seed1), this.shards.length);
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
  clear(): Promise<Cleared> {
    const { shards, tier } = this;
    const clear = (shard: Routed): Promise<ClearReply> =>
      clearShard((pending) => this.send(shard, encodeClear(), pending, 'write'));
    return tier ? clearThroughTier(shards, clear, tier.clearWaits) : clearAll(shards, clear);
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

  /**
   * Some of the keys that begin with `prefix`. It counts as no read.
   * @param from where the last page ended; the shards are walked one after the other.
   * @returns undefined where the shard does not answer, and the code of the failure where the engine behind it does not.
   */
  async listKeys(prefix: string, from: KeyPlace): Promise<KeyPage | typeof TIER_UNAVAILABLE | undefined> {
    const { shard, cursor } = from;
    const reply = await this.shards[shard].mailbox?.control.request({ kind: 'keys', prefix, cursor });
    if (reply?.kind !== 'keys') return undefined;
    if (!reply.keys) return TIER_UNAVAILABLE;
    if (reply.cursor !== undefined) return { keys: reply.keys, next: { shard, cursor: reply.cursor } };
    const isLast = shard + 1 === this.shards.length;
    return { keys: reply.keys, next: isLast ? undefined : { shard: shard + 1, cursor: 0 } };
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

  /** What this thread counts, one for each shard. */
  get routing(): RoutingFigures[] {
    return this.shards.map(({ number, mailbox }) => ({
      inFlight: mailbox?.inFlight ?? 0,
      busyRejections: this.busyRejections[number],
    }));
  }

  async stop(): Promise<void> {
    clearInterval(this.sweepTimer);
    await Promise.all(this.shards.map((shard) => shard.stop()));
    this.tier?.onStop?.();
  }

  private rowOf({ number, state, restarts, mailbox }: Routed, reply: StatsReply | undefined): ShardRow {
    return {
      shard: number,
      state,
      restarts,
      inFlight: mailbox?.inFlight ?? 0,
      busyRejections: this.busyRejections[number],
      stats: reply?.stats,
      thread: reply?.thread,
      tier: reply?.tier,
    };
  }

  private shardOf(key: string): Routed {
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
    shard: Routed,
    request: string | UnsentPut,
    pending: PendingRequest,
    kind: 'read' | 'write',
  ): void {
    this.mailboxFor(shard, pending, kind)?.send(request, pending);
  }

  /** @returns undefined where the shard cannot be asked; the request is settled then. */
  private mailboxFor(shard: Routed, pending: PendingRequest, kind: 'read' | 'write'): Mailbox | undefined {
    const { mailbox } = shard;
    if (!mailbox) {
      pending.settle(UNAVAILABLE, '');
    } else if (!mailbox.hasRoomFor(kind)) {
      this.busyRejections[shard.number]++;
      pending.settle(BUSY, '');
    } else {
      return mailbox;
    }
    return undefined;
  }
}
