import { assert } from '../src/base/assert.ts';
import {
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
  LATE,
  MISS,
  PUT,
  PUT_TTL,
  STORED,
  TOO_LARGE,
  decodeU16,
  decodeU32,
  decodeU48,
  encodeU32,
} from '../src/mailbox/protocol.ts';
import { Compressor } from './compressor.ts';
import { ShedOrder } from './shed-order.ts';
import type { SegmentStore } from './store/segment-store.ts';

const SHED_SLICE_MS = 1.5;
const MAINTENANCE_SLICE_MS = 2;
const MAINTENANCE_STEP_BYTES = 2 ** 15;
/** Replies of one batch that have grown to this size do not wait for the rest. */
const POST_CHARACTERS = 2 ** 20;

export interface ActorOptions {
  readonly store: SegmentStore;
  readonly post: (message: string | ControlReply) => void;
  readonly gzipThresholdBytes: number;
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
  private replies = '';
  private shedOrders = 0;
  private shedBytes = 0;
  private deletes = 0;

  constructor(options: ActorOptions) {
    this.options = options;
    this.store = options.store;
    this.compressor = new Compressor(options.store, (ticket, code, payload) =>
      options.post({ kind: 'late', ticket, code, payload }),
    );
  }

  handleBatch(batch: string): void {
    let at = 0;
    while (at < batch.length) {
      at = this.handleRequest(batch, at);
      if (this.replies.length >= POST_CHARACTERS) this.postReplies();
    }
    this.postReplies();
  }

  handleControl(request: ControlRequest): void {
    if (request.kind === 'stats') {
      this.options.post({ kind: 'stats', id: request.id, stats: this.stats() });
    } else {
      this.shedOrders++;
      this.continueShedding(new ShedOrder(this.store, request.shedBytes), request.id);
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
    const { store, compressor } = this;
    const { gzipThresholdBytes } = this.options;
    const slot = store.find(key);
    if (slot === 0) {
      this.replies += String.fromCharCode(MISS);
      return;
    }
    const isGzipWanted = acceptsGzip && gzipThresholdBytes > 0;
    const gzip = isGzipWanted ? store.gzip(slot) : undefined;
    if (gzip !== undefined) {
      this.reply(HIT_GZIP, gzip);
      return;
    }
    const body = `{"status":"OK","key":${JSON.stringify(key)},"value":${JSON.stringify(store.value(slot))}}`;
    if (!isGzipWanted || body.length <= gzipThresholdBytes || store.isIncompressible(slot)) {
      this.reply(HIT, body);
      return;
    }
    const compressed = compressor.compress(key, slot, body);
    if (typeof compressed === 'number') this.replies += String.fromCharCode(LATE) + encodeU32(compressed);
    else if (compressed === undefined) this.reply(HIT, body);
    else this.reply(HIT_GZIP, compressed);
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

  private reply(code: number, payload: string): void {
    this.replies += String.fromCharCode(code) + encodeU32(payload.length) + payload;
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
