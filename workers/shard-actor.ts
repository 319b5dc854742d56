import { assert } from '../src/shared/assert.ts';
import type { ShardStats } from '../src/shared/stats-counters.ts';
import { free } from '../src/shared/free.ts';
import type { LargeValueMessage } from '../src/shared/large-values.ts';
import type { ThreadFigures } from '../src/shared/thread-meter.ts';
import {
  CLEAR,
  CLEARED,
  type ControlRequest,
  DELETE,
  DELETED,
  type EntryFacts,
  type LargePut,
  MISS,
  PUT,
  PUT_TTL,
  RAW_DELETE,
  RAW_GET,
  RAW_GET_GZIP,
  RAW_HEAD,
  RAW_PUT,
  STORED,
  type SessionMessage,
  TOO_LARGE,
  decodeU16,
  decodeU48,
  encodeU32,
  keyStart,
  requestEnd,
} from '../src/shared/protocol.ts';
import { NO_CONDITIONS, decodeConditions } from '../src/shared/raw-entries.ts';
import { ClientBatches } from './client-batches.ts';
import { RawWrites } from './raw-writes.ts';
import { type ReadOptions, Reads } from './reads/reads.ts';
import { readKindOf } from './reads/reply-body.ts';
import type { Session } from './session.ts';
import { Snapshots } from './snapshot/snapshots.ts';
import { statsOf } from './shard-stats.ts';
import { SHED_SLICE_MS, ShedOrder } from './shed-order.ts';
import { AHEAD_KEYS, type KeyPage, NO_SLOT, type SegmentStore } from './store/segment-store.ts';
import type { Tier, TierParts } from './tier/tier.ts';
import { Uploads } from './uploads.ts';

const MAINTENANCE_SLICE_MS = 2;
const MAINTENANCE_STEP_BYTES = 2 ** 15;
/** A page of a listing ends after this time, or with this many keys; a batch deletes as many. */
const LISTING_SLICE_MS = 0.5;
const MAX_LISTED_KEYS = 1000;

/** What an engine behind the shard does with its requests. */
export type ActorTier = Omit<Tier, 'invalidate' | 'flush'>;

export interface ActorOptions extends ReadOptions {
  /** Puts an engine behind the shard: it gets the writes, and the reads that find nothing here. */
  readonly createTier?: ((parts: TierParts) => ActorTier) | undefined;
  /** Calls back when it is time for the next slice of a shed order, after messages have been handled. */
  readonly deferSlice: (slice: () => void, ageMs: number) => void;
  /** What this thread has done. */
  readonly readThread: () => ThreadFigures;
}

/** One shard: handles one message at a time, of any session, and is the only one to touch its segment. */
export class ShardActor {
  private readonly options: ActorOptions;
  private readonly store: SegmentStore;
  private readonly reads: Reads;
  private readonly rawWrites: RawWrites;
  private readonly uploads: Uploads;
  private readonly clientBatches: ClientBatches;
  private readonly snapshots: Snapshots;
  private readonly tier: ActorTier | undefined;
  private order: ShedOrder | undefined;
  private shedOrders = 0;

  constructor(options: ActorOptions) {
    this.options = options;
    this.store = options.store;
    this.reads = new Reads(options);
    this.rawWrites = new RawWrites(options.store, this.reads);
    this.clientBatches = new ClientBatches(options.store, this.reads, this.rawWrites);
    this.uploads = new Uploads({ ...options, writes: this.rawWrites });
    this.snapshots = new Snapshots(options);
    const { store, reads, clientBatches } = this;
    const tier = options.createTier?.({ store, reads, clientBatches });
    this.tier = tier;
    if (tier) reads.onMiss = (...read) => tier.read(...read);
  }

  /** True while slices of a shed order, or of a snapshot, are to come. */
  get hasSlices(): boolean {
    return this.order !== undefined || this.snapshots.isBusy;
  }

  /** True while something is being compressed, or a piece is being taken, which needs turns of the event loop. */
  get needsTurns(): boolean {
    return this.reads.isCompressing || this.uploads.isBusy || this.tier?.isBusy === true;
  }

  /** A string is a batch of requests. */
  handle(session: Session, message: SessionMessage): void {
    if (typeof message === 'string') this.handleBatch(session, message);
    else if (message.kind === 'put') this.handleLargePut(session, message);
    else if (message.kind === 'batch') (this.tier ?? this.clientBatches).run(session, message.requests);
    else if ('upload' in message || 'read' in message) this.handleLargeValue(session, message);
    else this.handleControl(session, message);
  }

  /** A session has ended: its waiting reads and its uploads are dropped. */
  forget(session: Session): void {
    this.reads.forget(session);
    this.uploads.forget(session);
  }

  /** Does a little of the work that no request waits for. @returns whether there is more. */
  maintain(): boolean {
    const { nowMs } = this.options;
    const stopMs = nowMs() + MAINTENANCE_SLICE_MS;
    let hasMore = true;
    while (hasMore && nowMs() < stopMs) hasMore = this.store.maintain(MAINTENANCE_STEP_BYTES);
    this.reads.answerDeferred();
    this.tier?.expire();
    return hasMore || this.reads.isWaiting;
  }

  private handleBatch(session: Session, batch: string): void {
    let at = 0;
    let aheadTo = 0;
    this.reads.beginTurn();
    while (at < batch.length) {
      if (at >= aheadTo) aheadTo = this.announceKeys(batch, at);
      at = this.handleRequest(session, batch, at);
    }
    session.flush();
  }

  private handleLargePut(session: Session, { key, value, ttlMs, rawOptions }: LargePut): void {
    if (rawOptions === undefined) this.put(session, key, new Uint8Array(value), ttlMs);
    else this.putRaw(session, key, new Uint8Array(value), rawOptions);
    free(value);
    session.flush();
  }

  private handleLargeValue(session: Session, message: LargeValueMessage): void {
    const { uploads, reads } = this;
    switch (message.kind) {
      case 'upload':
        if (this.tier) session.post({ kind: 'upload', upload: message.upload, code: TOO_LARGE, head: '' });
        else uploads.begin(session, message.upload, message.bytes);
        break;
      case 'piece':
        uploads.take(session, message);
        break;
      case 'commit':
        uploads.commit(session, message.upload, message.key, message.options);
        break;
      case 'abort':
        uploads.abort(session, message.upload);
        break;
      case 'more':
        reads.largeReads.more(session, message.read);
        break;
      case 'cancel':
        reads.largeReads.cancel(session, message.read);
        break;
    }
  }

  private handleControl(session: Session, request: ControlRequest): void {
    switch (request.kind) {
      case 'stats':
        session.post({
          kind: 'stats',
          id: request.id,
          stats: this.stats(),
          thread: request.withThread ? this.options.readThread() : undefined,
          tier: this.tier?.figures,
        });
        break;
      case 'ping':
        session.post({ kind: 'ping', id: request.id });
        break;
      case 'inspect':
        session.post({ kind: 'inspect', id: request.id, entry: this.inspect(request.key) });
        break;
      case 'keys':
        if (this.tier) this.tier.listKeys(session, request);
        else session.post({ kind: 'keys', id: request.id, ...this.listKeys(request.prefix, request.cursor) });
        break;
      case 'delivered':
        this.reads.acknowledge(session, request.bytes);
        break;
      case 'shed':
        this.shedOrders++;
        this.snapshots.pause();
        this.order = new ShedOrder(this.store, request.shedBytes);
        this.continueShedding(session, this.order, request.id, this.options.nowMs());
        break;
      default:
        this.snapshots.handle(session, request);
        break;
    }
  }

  private continueShedding(session: Session, order: ShedOrder, id: number, startedMs: number): void {
    const { nowMs, deferSlice } = this.options;
    const result = order.slice(SHED_SLICE_MS, nowMs);
    if (result) {
      this.order = undefined;
      session.post({ kind: 'shed', id, result });
      this.snapshots.resume();
    } else {
      deferSlice(() => this.continueShedding(session, order, id, startedMs), nowMs() - startedMs);
    }
  }

  /** Reads ahead for the next requests. @returns where the first one begins that was left out. */
  private announceKeys(batch: string, from: number): number {
    const { store } = this;
    let at = from;
    for (let i = 0; i < AHEAD_KEYS && at < batch.length; i++) {
      const opcode = batch.charCodeAt(at);
      const end = requestEnd(batch, at);
      // A request that is alone would only be read twice.
      if (i === 0 && end === batch.length) return end;
      if (opcode !== CLEAR) {
        const keyFrom = keyStart(opcode, at);
        store.announce(batch.slice(keyFrom, keyFrom + decodeU16(batch, at + 1)));
      }
      at = end;
    }
    store.readAnnounced();
    return at;
  }

  /** Answers the request that begins at `at`. @returns where the next one begins. */
  private handleRequest(session: Session, batch: string, at: number): number {
    const opcode = batch.charCodeAt(at);
    if (opcode === CLEAR) {
      this.clear(session);
      return at + 1;
    }
    const keyFrom = keyStart(opcode, at);
    const keyEnd = keyFrom + decodeU16(batch, at + 1);
    const key = batch.slice(keyFrom, keyEnd);
    const readKind = readKindOf(opcode);
    if (readKind) {
      this.reads.get(session, key, readKind);
      return keyEnd;
    }
    if (opcode === DELETE) {
      this.delete(session, key);
      return keyEnd;
    }
    const end = requestEnd(batch, at);
    if (opcode !== PUT && opcode !== PUT_TTL) {
      this.handleRaw(session, opcode, key, batch, { at, keyEnd, end });
      return end;
    }
    const ttlMs = opcode === PUT_TTL ? decodeU48(batch, at + 7) : 0;
    this.put(session, key, batch.slice(keyEnd, end), ttlMs);
    return end;
  }

  /** @param places of the request, of the end of its key, and of its own end. */
  private handleRaw(
    session: Session,
    opcode: number,
    key: string,
    batch: string,
    { at, keyEnd, end }: { readonly at: number; readonly keyEnd: number; readonly end: number },
  ): void {
    if (opcode === RAW_PUT) {
      const valueStart = keyEnd + decodeU16(batch, at + 7);
      const value = Buffer.from(batch.slice(valueStart, end), 'latin1');
      this.putRaw(session, key, value, batch.slice(keyEnd, valueStart));
      return;
    }
    const conditions = decodeConditions(batch.slice(keyEnd, end));
    if (opcode === RAW_DELETE) {
      (this.tier ?? this.rawWrites).delete(session, key, conditions);
      return;
    }
    const isRead = opcode === RAW_GET || opcode === RAW_GET_GZIP || opcode === RAW_HEAD;
    assert(isRead, `no request begins with ${opcode}`);
    this.reads.getRaw(session, key, opcode, conditions);
  }

  private putRaw(session: Session, key: string, value: Uint8Array, options: string): void {
    if (this.tier) this.tier.putRaw(session, key, value, options);
    else this.rawWrites.put(session, key, value, options);
  }

  private put(session: Session, key: string, value: string | Uint8Array, ttlMs: number): void {
    if (this.tier) {
      this.tier.put(session, key, value, ttlMs);
      return;
    }
    this.reads.settle(key);
    session.reply(String.fromCharCode(this.store.put(key, value, ttlMs) ? STORED : TOO_LARGE));
  }

  private delete(session: Session, key: string): void {
    if (this.tier) {
      this.tier.delete(session, key, NO_CONDITIONS);
      return;
    }
    this.reads.settle(key);
    session.reply(String.fromCharCode(this.store.delete(key) ? DELETED : MISS));
  }

  private clear(session: Session): void {
    if (this.tier) {
      this.tier.clear(session);
      return;
    }
    this.reads.settle();
    session.reply(String.fromCharCode(CLEARED) + encodeU32(this.store.clear()));
  }

  private inspect(key: string): EntryFacts | undefined {
    const { store } = this;
    const slot = store.peek(key);
    if (slot === NO_SLOT) return undefined;
    const ttlMs = store.ttlMs(slot);
    const facts = { valueBytes: store.valueBytes(slot), entryBytes: store.entryBytes(slot) };
    return ttlMs === undefined ? facts : { ...facts, ttlMs };
  }

  /** As far as it gets in a moment. */
  private listKeys(prefix: string, cursor: number): KeyPage {
    const { nowMs } = this.options;
    const endMs = nowMs() + LISTING_SLICE_MS;
    return this.store.listKeys(prefix, cursor, (keys) => keys >= MAX_LISTED_KEYS || nowMs() >= endMs);
  }

  private stats(): ShardStats {
    const stats = statsOf(this.store, this.shedOrders);
    return this.tier ? { ...stats, ...this.tier.clientCounts(stats) } : stats;
  }
}
