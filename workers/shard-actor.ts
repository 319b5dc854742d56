import { assert } from '../src/base/assert.ts';
import {
  BUSY,
  CLEAR,
  CLEARED,
  type ControlReply,
  type ControlRequest,
  DELETE,
  DELETED,
  GET,
  GET_GZIP,
  HIT,
  HIT_GZIP,
  LARGE_PAYLOAD,
  MISS,
  PUT,
  PUT_TTL,
  STORED,
  TOO_LARGE,
  decodeU16,
  decodeU32,
  decodeU48,
  encodeLate,
  encodeU32,
} from '../src/mailbox/protocol.ts';
import { Compressor, SYNC_CHARACTERS } from './compressor.ts';
import { ReplyWindow } from './reply-window.ts';
import { ShedOrder } from './shed-order.ts';
import { NO_SLOT, type SegmentStore } from './store/segment-store.ts';

interface Hit {
  readonly code: number;
  readonly payload: string;
}

const SHED_SLICE_MS = 1.5;
const MAINTENANCE_SLICE_MS = 2;
const MAINTENANCE_STEP_BYTES = 2 ** 15;
/** In one batch, so much is spent on compressing small bodies; the others go as they are. */
const COMPRESS_BUDGET_MS = 4;
/** Replies of one batch that have grown to this size do not wait for the rest. */
const POST_CHARACTERS = 2 ** 20;

export interface ActorOptions {
  readonly store: SegmentStore;
  readonly post: (message: string | ControlReply) => void;
  readonly gzipThresholdBytes: number;
  /** Characters of large replies that may be on their way at once. */
  readonly replyWindow: number;
  readonly deadlineMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Calls back after the messages that have come in meanwhile. */
  readonly defer: (task: () => void) => void;
}

/** One shard: takes one message at a time, and alone touches its segment. */
export class ShardActor {
  private readonly options: ActorOptions;
  private readonly store: SegmentStore;
  private readonly compressor: Compressor;
  private readonly window: ReplyWindow;
  private ticket = 0;
  private isShedding = false;
  /** What is left of the batch's time for compressing. */
  private compressMs = 0;
  private replies = '';
  private shedOrders = 0;
  private shedBytes = 0;
  private deletes = 0;

  constructor(options: ActorOptions) {
    this.options = options;
    this.store = options.store;
    this.compressor = new Compressor(options.store);
    this.window = new ReplyWindow({
      characters: options.replyWindow,
      deadlineMs: options.deadlineMs,
      nowMs: options.nowMs,
    });
  }

  /** True while it has work that is not asked for by messages. */
  get isBusy(): boolean {
    return this.isShedding || this.compressor.isBusy;
  }

  /** A string is a batch of requests. */
  handle(message: string | ControlRequest): void {
    if (typeof message === 'string') this.handleBatch(message);
    else this.handleControl(message);
  }

  handleBatch(batch: string): void {
    let at = 0;
    this.compressMs = COMPRESS_BUDGET_MS;
    while (at < batch.length) {
      at = this.handleRequest(batch, at);
      if (this.replies.length >= POST_CHARACTERS) this.postReplies();
    }
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
        this.isShedding = true;
        this.continueShedding(new ShedOrder(this.store, request.shedBytes), request.id);
        break;
    }
  }

  /** Does a little of the work that no request waits for. */
  maintain(): void {
    const { nowMs } = this.options;
    const stopMs = nowMs() + MAINTENANCE_SLICE_MS;
    while (this.store.maintain(MAINTENANCE_STEP_BYTES) && nowMs() < stopMs);
  }

  private continueShedding(order: ShedOrder, id: number): void {
    const result = order.slice(SHED_SLICE_MS, this.options.nowMs);
    if (result) {
      this.isShedding = false;
      this.shedBytes += result.shedBytes;
      this.options.post({ kind: 'shed', id, result });
    } else {
      this.options.defer(() => this.continueShedding(order, id));
    }
  }

  private postReplies(): void {
    if (this.replies === '') return;
    const { replies } = this;
    this.replies = '';
    this.options.post(replies);
  }

  /** Answers the request that begins at `at`. @returns where the next one begins. */
  private handleRequest(batch: string, at: number): number {
    const opcode = batch.charCodeAt(at);
    if (opcode === CLEAR) {
      const removed = this.store.clear();
      this.compressor.forgetAll();
      this.replies += String.fromCharCode(CLEARED) + encodeU32(removed);
      return at + 1;
    }
    const keyLength = decodeU16(batch, at + 1);
    const head = at + 3;
    if (opcode === GET || opcode === GET_GZIP) {
      const end = head + keyLength;
      this.get(batch.slice(head, end), opcode === GET_GZIP);
      return end;
    }
    if (opcode === DELETE) {
      const end = head + keyLength;
      this.delete(batch.slice(head, end));
      return end;
    }
    assert(opcode === PUT || opcode === PUT_TTL, `no request begins with ${opcode}`);
    const valueLength = decodeU32(batch, head);
    const keyStart = opcode === PUT_TTL ? head + 10 : head + 4;
    const valueStart = keyStart + keyLength;
    const end = valueStart + valueLength;
    const ttlMs = opcode === PUT_TTL ? decodeU48(batch, head + 4) : 0;
    this.put(batch.slice(keyStart, valueStart), batch.slice(valueStart, end), ttlMs);
    return end;
  }

  private get(key: string, acceptsGzip: boolean): void {
    const { store, window } = this;
    const slot = store.find(key);
    if (slot === NO_SLOT) {
      this.replies += String.fromCharCode(MISS);
      return;
    }
    if (!window.hasRoom && store.valueBytes(slot) >= LARGE_PAYLOAD) {
      const ticket = this.nextTicket();
      const isWaiting = window.defer({ ticket, key, acceptsGzip });
      this.replies += isWaiting ? encodeLate(ticket) : String.fromCharCode(BUSY);
      return;
    }
    const answer = this.answer(key, slot, acceptsGzip);
    if (typeof answer === 'number') {
      this.replies += encodeLate(answer);
      return;
    }
    if (answer.payload.length >= LARGE_PAYLOAD) window.add(answer.payload.length);
    this.replies += String.fromCharCode(answer.code) + encodeU32(answer.payload.length) + answer.payload;
  }

  /** @returns a hit, or the ticket under which it follows when it has been compressed. */
  private answer(key: string, slot: number, acceptsGzip: boolean): Hit | number {
    const { store } = this;
    const { gzipThresholdBytes } = this.options;
    const isGzipWanted = acceptsGzip && gzipThresholdBytes > 0;
    const gzip = isGzipWanted ? store.gzip(slot) : undefined;
    if (gzip !== undefined) return { code: HIT_GZIP, payload: gzip };
    const body = this.body(key, slot);
    if (!isGzipWanted || body.length <= gzipThresholdBytes || store.isIncompressible(slot)) {
      return { code: HIT, payload: body };
    }
    if (body.length <= SYNC_CHARACTERS) {
      if (this.compressMs <= 0) return { code: HIT, payload: body };
      const { nowMs } = this.options;
      const startedMs = nowMs();
      const compressed = this.compressor.compressNow(slot, body);
      this.compressMs -= nowMs() - startedMs;
      return compressed === undefined
        ? { code: HIT, payload: body }
        : { code: HIT_GZIP, payload: compressed };
    }
    const ticket = this.nextTicket();
    this.window.add(body.length);
    this.compressor.compressLater(key, body, (compressed) => {
      const { code, payload } =
        compressed === undefined ? { code: HIT, payload: body } : { code: HIT_GZIP, payload: compressed };
      this.answerLate(ticket, code, payload);
      this.release(body.length);
    });
    return ticket;
  }

  private answerLate(ticket: number, code: number, payload: string): void {
    if (payload.length >= LARGE_PAYLOAD) this.window.add(payload.length);
    this.options.post({ kind: 'late', ticket, code, payload });
  }

  /** Large replies have reached their clients: whoever waited for the room has a turn. */
  private release(characters: number): void {
    this.window.remove(characters);
    for (let get = this.window.next(); get; get = this.window.next()) {
      const { ticket, key, acceptsGzip } = get;
      const slot = this.store.peek(key);
      if (slot === NO_SLOT) {
        this.answerLate(ticket, MISS, '');
        continue;
      }
      // Once it has waited, a reply that is not compressed yet goes as it is.
      const gzip = acceptsGzip ? this.store.gzip(slot) : undefined;
      if (gzip === undefined) this.answerLate(ticket, HIT, this.body(key, slot));
      else this.answerLate(ticket, HIT_GZIP, gzip);
    }
  }

  private body(key: string, slot: number): string {
    return `{"status":"OK","key":${JSON.stringify(key)},"value":${JSON.stringify(this.store.value(slot))}}`;
  }

  private nextTicket(): number {
    this.ticket = (this.ticket + 1) >>> 0;
    return this.ticket;
  }

  private put(key: string, value: string, ttlMs: number): void {
    this.compressor.forget(key);
    this.replies += String.fromCharCode(this.store.put(key, value, ttlMs) ? STORED : TOO_LARGE);
  }

  private delete(key: string): void {
    this.compressor.forget(key);
    const wasThere = this.store.delete(key);
    if (wasThere) this.deletes++;
    this.replies += String.fromCharCode(wasThere ? DELETED : MISS);
  }

  private stats() {
    const { store } = this;
    const { hits, misses, puts, evicted, expired, shed } = store.counters;
    return {
      entries: store.entries,
      liveBytes: store.liveBytes,
      reservedBytes: store.reservedBytes,
      hits,
      misses,
      puts,
      deletes: this.deletes,
      evicted,
      expired,
      shedOrders: this.shedOrders,
      shedEntries: shed,
      shedBytes: this.shedBytes,
    };
  }
}
