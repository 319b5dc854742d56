import { assert } from '../src/shared/assert.ts';
import type { ShardStats } from '../src/shared/counters.ts';
import { free } from '../src/shared/free.ts';
import {
  BUSY,
  CLEAR,
  CLEARED,
  type ControlRequest,
  DELETE,
  DELETED,
  type FromShard,
  GET,
  GET_GZIP,
  HANDED_OVER_BYTES,
  HIT,
  HIT_GZIP,
  LARGE_PAYLOAD,
  type LargePut,
  MISS,
  PUT,
  PUT_TTL,
  type Payload,
  STORED,
  TOO_LARGE,
  type ToShard,
  bytesOf,
  decodeU16,
  decodeU48,
  encodeLate,
  encodeU32,
  encodeWaiting,
  freePayload,
  keyStart,
  requestEnd,
} from '../src/shared/protocol.ts';
import { Compressor, SYNC_CHARACTERS } from './compressor.ts';
import { entryBody } from './entry-body.ts';
import { ReadQueue, type WaitingRead } from './read-queue.ts';
import { ReplyWindow } from './reply-window.ts';
import { SHED_SLICE_MS, ShedOrder } from './shed-order.ts';
import { AHEAD_KEYS, NO_SLOT, type SegmentStore } from './store/segment-store.ts';

/** A read that waits for its body to be compressed. */
interface UncompressedRead extends WaitingRead {
  readonly characters: number;
}

interface Hit {
  readonly code: number;
  readonly payload: Payload;
}

const MAINTENANCE_SLICE_MS = 2;
const MAINTENANCE_STEP_BYTES = 2 ** 15;
/** So much is spent at once on compressing bodies up to `SYNC_CHARACTERS`; the others wait for another turn. */
const COMPRESS_BUDGET_MS = 2;
/** Bodies that wait to be compressed: a sixth of a second's work. Whoever comes after them gets its own plain. */
const COMPRESS_QUEUE_CHARACTERS = 2 ** 22;
/** Replies of one batch that have grown to this size do not wait for the rest. */
const POST_CHARACTERS = 2 ** 16;

export interface ActorOptions {
  readonly store: SegmentStore;
  readonly post: (message: FromShard, handedOver?: ArrayBuffer[]) => void;
  readonly gzipThresholdBytes: number;
  /** See `ReplyWindow`. */
  readonly shard: number;
  readonly replyCells: Int32Array;
  readonly replyWindow: number;
  readonly deadlineMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Calls back after messages that have come meanwhile. */
  readonly defer: (task: () => void) => void;
  /** Calls back when it is time for the next slice of a shed order, after messages have been handled. */
  readonly deferSlice: (slice: () => void, ageMs: number) => void;
}

/** One shard: takes one message at a time, and alone touches its segment. */
export class ShardActor {
  private readonly options: ActorOptions;
  private readonly store: SegmentStore;
  private readonly compressor: Compressor;
  private readonly window: ReplyWindow;

  private ticket = 0;
  private order: ShedOrder | undefined;
  /** What is left of this turn's time for compressing. */
  private compressMs = 0;
  private readonly uncompressed = new ReadQueue<UncompressedRead>();
  private uncompressedCharacters = 0;
  /** True while a turn for them has been asked for. */
  private isCompressDue = false;
  private replies = '';
  private shedOrders = 0;

  constructor(options: ActorOptions) {
    this.options = options;
    this.store = options.store;
    this.compressor = new Compressor(options.store);
    this.window = new ReplyWindow({
      shard: options.shard,
      cells: options.replyCells,
      characters: options.replyWindow,
      deadlineMs: options.deadlineMs,
      nowMs: options.nowMs,
    });
  }

  /** True while slices of a shed order are to come. */
  get isShedding(): boolean {
    return this.order !== undefined;
  }

  /** True while something is being compressed, or waits to be, which needs turns of the event loop. */
  get isCompressing(): boolean {
    return this.compressor.isBusy || this.uncompressed.length > 0;
  }

  /** A string is a batch of requests. */
  handle(message: ToShard): void {
    if (typeof message === 'string') this.handleBatch(message);
    else if (message.kind === 'put') this.handleLargePut(message);
    else this.handleControl(message);
  }

  handleBatch(batch: string): void {
    let at = 0;
    let aheadTo = 0;
    this.compressMs = COMPRESS_BUDGET_MS;
    while (at < batch.length) {
      if (at >= aheadTo) aheadTo = this.announceKeys(batch, at);
      at = this.handleRequest(batch, at);
      if (this.replies.length >= POST_CHARACTERS) this.postReplies();
    }
    this.postReplies();
  }

  handleLargePut({ key, value, ttlMs }: LargePut): void {
    this.put(key, new Uint8Array(value), ttlMs);
    free(value);
    this.postReplies();
  }

  handleControl(request: ControlRequest): void {
    switch (request.kind) {
      case 'stats':
        this.options.post({ kind: 'stats', id: request.id, stats: this.stats() });
        break;
      case 'ping':
        this.options.post({ kind: 'ping', id: request.id });
        break;
      case 'delivered':
        this.release(request.characters);
        break;
      case 'shed':
        this.shedOrders++;
        this.order = new ShedOrder(this.store, request.shedBytes);
        this.continueShedding(this.order, request.id, this.options.nowMs());
        break;
    }
  }

  /** Does a little of the work that no request waits for. @returns whether there is more. */
  maintain(): boolean {
    const { nowMs } = this.options;
    const stopMs = nowMs() + MAINTENANCE_SLICE_MS;
    let hasMore = true;
    while (hasMore && nowMs() < stopMs) hasMore = this.store.maintain(MAINTENANCE_STEP_BYTES);
    // Room that another shard has given back is told of to nobody.
    this.answerDeferred();
    return hasMore || this.window.isWaiting;
  }

  private continueShedding(order: ShedOrder, id: number, startedMs: number): void {
    const { nowMs, deferSlice } = this.options;
    const result = order.slice(SHED_SLICE_MS, nowMs);
    if (result) {
      this.order = undefined;
      this.options.post({ kind: 'shed', id, result });
    } else {
      deferSlice(() => this.continueShedding(order, id, startedMs), nowMs() - startedMs);
    }
  }

  private postReplies(): void {
    if (this.replies === '') return;
    const { replies } = this;
    this.replies = '';
    this.options.post(replies);
  }

  /** Has the next requests' places in memory read together. @returns where the first begins that was left out. */
  private announceKeys(batch: string, from: number): number {
    const { store } = this;
    let at = from;
    for (let i = 0; i < AHEAD_KEYS && at < batch.length; i++) {
      const opcode = batch.charCodeAt(at);
      const end = requestEnd(batch, at);
      // Alone it would only be read twice.
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
  private handleRequest(batch: string, at: number): number {
    const opcode = batch.charCodeAt(at);
    if (opcode === CLEAR) {
      this.settleReads();
      this.compressor.forgetAll();
      const removed = this.store.clear();
      this.replies += String.fromCharCode(CLEARED) + encodeU32(removed);
      return at + 1;
    }
    const keyFrom = keyStart(opcode, at);
    const keyEnd = keyFrom + decodeU16(batch, at + 1);
    const key = batch.slice(keyFrom, keyEnd);
    if (opcode === GET || opcode === GET_GZIP) {
      this.get(key, opcode === GET_GZIP);
      return keyEnd;
    }
    if (opcode === DELETE) {
      this.delete(key);
      return keyEnd;
    }
    assert(opcode === PUT || opcode === PUT_TTL, `no request begins with ${opcode}`);
    const end = requestEnd(batch, at);
    const ttlMs = opcode === PUT_TTL ? decodeU48(batch, at + 7) : 0;
    this.put(key, batch.slice(keyEnd, end), ttlMs);
    return end;
  }

  private get(key: string, acceptsGzip: boolean): void {
    const { store, window } = this;
    const slot = store.access(key);
    if (slot === NO_SLOT) {
      this.replies += String.fromCharCode(MISS);
      return;
    }
    if (!window.hasRoom && store.valueBytes(slot) >= LARGE_PAYLOAD) {
      this.defer(key, acceptsGzip);
      return;
    }
    const answer = this.answer(key, slot, acceptsGzip);
    if (typeof answer === 'number') {
      this.replies += encodeLate(answer);
      return;
    }
    const { code, payload } = answer;
    // Escaped it may be six times as long.
    if (!window.hasRoom && payload.length >= LARGE_PAYLOAD) {
      freePayload(payload);
      this.defer(key, acceptsGzip);
      return;
    }
    if (payload.length >= LARGE_PAYLOAD) window.add(payload.length);
    if (typeof payload === 'string') {
      this.replies += String.fromCharCode(code) + encodeU32(payload.length) + payload;
    } else {
      // Those that were asked for before it are answered before it.
      this.postReplies();
      this.options.post({ kind: 'hit', code, body: payload }, [payload.buffer]);
    }
  }

  private defer(key: string, acceptsGzip: boolean): void {
    const ticket = this.nextTicket();
    const isWaiting = this.window.defer({ ticket, key, acceptsGzip });
    this.replies += isWaiting ? encodeWaiting(ticket) : String.fromCharCode(BUSY);
  }

  /** @returns a hit, or the ticket under which it follows when it has been compressed. */
  private answer(key: string, slot: number, acceptsGzip: boolean): Hit | number {
    const { store } = this;
    const { gzipThresholdBytes } = this.options;
    const isGzipWanted = acceptsGzip && gzipThresholdBytes > 0;
    const gzip = isGzipWanted ? store.gzipView(slot) : undefined;
    if (gzip !== undefined) return { code: HIT_GZIP, payload: payloadOf(gzip) };
    if (isGzipWanted && this.compressor.isBusy) {
      const ticket = this.nextTicket();
      const bodyLength = this.compressor.join(key, (compressed, whole) => {
        this.answerCompressed(ticket, compressed, whole);
        this.release(whole.length);
      });
      if (bodyLength > 0) {
        // Each gets a copy.
        this.window.add(bodyLength);
        return ticket;
      }
    }
    const body = entryBody(this.store, key, slot);
    if (!isGzipWanted || body.length <= gzipThresholdBytes || store.isIncompressible(slot)) {
      return { code: HIT, payload: body };
    }
    if (body.length <= SYNC_CHARACTERS) {
      if (this.compressMs <= 0) return this.queueUncompressed(key, body);
      const { nowMs } = this.options;
      const startedMs = nowMs();
      const compressed = this.compressor.compressNow(slot, body);
      this.compressMs -= nowMs() - startedMs;
      return compressed === undefined
        ? { code: HIT, payload: body }
        : { code: HIT_GZIP, payload: payloadOf(compressed) };
    }
    // One after the other they would all be late; who comes when there are enough gets the body as it is.
    if (!this.compressor.takesMore) return { code: HIT, payload: body };
    const ticket = this.nextTicket();
    const bodyLength = body.length;
    this.window.add(bodyLength);
    this.compressor.compressLater(key, body, (compressed) => {
      this.answerCompressed(ticket, compressed, body);
      this.release(bodyLength);
    });
    return ticket;
  }

  private answerCompressed(ticket: number, compressed: Buffer | undefined, body: Payload): void {
    // Longer than `SYNC_CHARACTERS`, a body is always handed over: to each reader a copy.
    if (compressed === undefined) this.answerLate(ticket, HIT, bytesOf(body));
    else this.answerLate(ticket, HIT_GZIP, payloadOf(compressed));
  }

  private queueUncompressed(key: string, body: Payload): Hit | number {
    const characters = body.length;
    const most = Math.min(COMPRESS_QUEUE_CHARACTERS, this.options.replyWindow);
    if (this.uncompressedCharacters + characters > most) {
      return { code: HIT, payload: body };
    }
    const ticket = this.nextTicket();
    this.uncompressed.push({ ticket, key, characters });
    this.uncompressedCharacters += characters;
    this.window.add(characters);
    this.askForCompressing();
    return ticket;
  }

  private askForCompressing(): void {
    if (this.isCompressDue || this.uncompressed.length === 0) return;
    this.isCompressDue = true;
    this.options.defer(() => this.compressQueued());
  }

  private compressQueued(): void {
    this.isCompressDue = false;
    this.compressMs = COMPRESS_BUDGET_MS;
    while (this.compressMs > 0 && this.uncompressed.length > 0) {
      const { ticket, key, characters } = this.uncompressed.shift()!;
      this.uncompressedCharacters -= characters;
      const slot = this.store.peek(key);
      const answer = slot === NO_SLOT ? { code: MISS, payload: '' } : this.answer(key, slot, true);
      assert(typeof answer !== 'number', 'within its budget a short body is compressed at once');
      this.answerLate(ticket, answer.code, answer.payload);
      this.release(characters);
    }
    this.askForCompressing();
  }

  private answerLate(ticket: number, code: number, payload: Payload): void {
    if (payload.length >= LARGE_PAYLOAD) this.window.add(payload.length);
    if (typeof payload === 'string') this.options.post({ kind: 'late', ticket, code, payload });
    else this.options.post({ kind: 'late', ticket, code, payload }, [payload.buffer]);
  }

  /** Large replies have reached their clients: whoever waited for the room has a turn. */
  private release(characters: number): void {
    this.window.remove(characters);
    this.answerDeferred();
  }

  private answerDeferred(): void {
    for (let get = this.window.next(); get; get = this.window.next()) {
      const { ticket, key, acceptsGzip } = get;
      const slot = this.store.peek(key);
      if (slot === NO_SLOT) {
        this.answerLate(ticket, MISS, '');
        continue;
      }
      // Once it has waited, a reply that is not compressed yet goes as it is.
      const gzip = acceptsGzip ? this.store.gzipView(slot) : undefined;
      if (gzip === undefined) this.answerLate(ticket, HIT, entryBody(this.store, key, slot));
      else this.answerLate(ticket, HIT_GZIP, payloadOf(gzip));
    }
  }

  private nextTicket(): number {
    this.ticket = (this.ticket + 1) >>> 0;
    return this.ticket;
  }

  /**
   * The entry is about to change, or all of them: reads of it that wait may not be told what comes after them. Those
   * whose body was to be compressed get it plain; those that wait for room cannot have it any more.
   */
  private settleReads(key?: string): void {
    const uncompressed = this.uncompressed.take(key);
    const refused = this.window.take(key);
    // Their tickets may be in this very batch.
    if (uncompressed.length + refused.length > 0) this.postReplies();
    for (const read of uncompressed) {
      this.uncompressedCharacters -= read.characters;
      this.window.remove(read.characters);
      const slot = this.store.peek(read.key);
      if (slot === NO_SLOT) this.answerLate(read.ticket, MISS, '');
      else this.answerLate(read.ticket, HIT, entryBody(this.store, read.key, slot));
    }
    for (const { ticket } of refused) this.answerLate(ticket, BUSY, '');
  }

  private put(key: string, value: string | Uint8Array, ttlMs: number): void {
    this.compressor.forget(key);
    this.settleReads(key);
    this.replies += String.fromCharCode(this.store.put(key, value, ttlMs) ? STORED : TOO_LARGE);
  }

  private delete(key: string): void {
    this.compressor.forget(key);
    this.settleReads(key);
    const wasThere = this.store.delete(key);
    this.replies += String.fromCharCode(wasThere ? DELETED : MISS);
  }

  private stats(): ShardStats {
    const { store } = this;
    const { hits, misses, puts, deleted, cleared, evicted, expired, shed } = store.counters;
    return {
      entries: store.entries,
      liveBytes: store.liveBytes,
      reservedBytes: store.reservedBytes,
      hits,
      misses,
      puts,
      deletes: deleted,
      cleared,
      evicted,
      expired,
      shedOrders: this.shedOrders,
      shedEntries: shed,
      shedBytes: store.shedBytes,
    };
  }
}

/** A copy, for one reader. */
function payloadOf(bytes: Buffer): Payload {
  return bytes.length >= HANDED_OVER_BYTES ? bytesOf(bytes) : bytes.toString('latin1');
}
