import {
  BUSY,
  HIT,
  HIT_GZIP,
  LARGE_PAYLOAD,
  MISS,
  encodeLate,
  encodeU32,
  encodeWaiting,
  freePayload,
} from '../../src/shared/protocol.ts';
import type { Session } from '../session.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';
import { type DeferredRead, DeferredReads } from './deferred-reads.ts';
import { FlowControlWindow } from './flow-control-window.ts';
import { Gzip } from './gzip.ts';
import { sendLate } from './late-replies.ts';
import { type ReadKind, payloadOf } from './reply-body.ts';

export interface ReadOptions {
  readonly store: SegmentStore;
  /** See `GzipOptions`. */
  readonly gzipThresholdBytes: number;
  /** See `WindowOptions`. */
  readonly shard: number;
  readonly replyCells: Int32Array;
  readonly replyWindowBytes: number;
  /** After which the HTTP thread has given a read up. */
  readonly deadlineMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Calls back after the messages that have arrived by then. */
  readonly defer: (task: () => void) => void;
}

/** Bodies that may wait to be compressed: a sixth of a second's work. The next reader gets its body plain. */
const MAX_QUEUED_BYTES = 2 ** 22;

/** Answers reads: in their place among the replies, or later under a ticket. */
export class Reads {
  private readonly store: SegmentStore;
  private readonly window: FlowControlWindow;
  private readonly deferred: DeferredReads;
  private readonly gzip: Gzip;

  constructor(options: ReadOptions) {
    const { store, nowMs, replyWindowBytes } = options;
    this.store = store;
    const { shard, replyCells: cells } = options;
    this.window = new FlowControlWindow({ shard, cells, shareBytes: replyWindowBytes, nowMs });
    this.deferred = new DeferredReads(this.window, options.deadlineMs, nowMs);
    this.gzip = new Gzip({
      store,
      window: this.window,
      thresholdBytes: options.gzipThresholdBytes,
      maxQueuedBytes: Math.min(MAX_QUEUED_BYTES, replyWindowBytes),
      nowMs,
      defer: options.defer,
      giveBack: (bytes) => this.giveBack(bytes),
    });
  }

  /** True while something is being compressed, or waits for it, which needs turns of the event loop. */
  get isCompressing(): boolean {
    return this.gzip.isBusy;
  }

  /** True while reads wait for room, which other shards may give back without telling. */
  get isWaiting(): boolean {
    return this.deferred.isWaiting;
  }

  /** A batch begins: there is time for compressing again. */
  beginTurn(): void {
    this.gzip.beginTurn();
  }

  get(session: Session, key: string, kind: ReadKind): void {
    const { store, window } = this;
    const slot = store.access(key);
    if (slot === NO_SLOT) {
      session.reply(String.fromCharCode(MISS));
      return;
    }
    if (store.valueBytes(slot) >= LARGE_PAYLOAD && !window.hasRoom) {
      this.defer(session, key, kind);
      return;
    }
    const answer = this.gzip.answer(session, key, slot, kind);
    if (answer.kind === 'later') {
      session.reply(encodeLate(answer.ticket));
      return;
    }
    const { code, payload } = answer;
    if (payload.length >= LARGE_PAYLOAD) {
      // The value alone may have been small: escaped it is up to six times as long.
      if (!window.hasRoom) {
        freePayload(payload);
        this.defer(session, key, kind);
        return;
      }
      window.send(session, payload.length);
    }
    if (typeof payload === 'string') {
      session.reply(String.fromCharCode(code) + encodeU32(payload.length) + payload);
    } else {
      session.post({ kind: 'hit', code, body: payload }, [payload.buffer]);
    }
  }

  /**
   * The entry of a key is about to change, or all entries are. A waiting read may not see a later value, so it is
   * settled now: with the entry as it is, or refused if it waits for room.
   */
  settle(key?: string): void {
    this.gzip.settle(key);
    for (const read of this.deferred.take(key)) sendLate(this.window, read, BUSY, '');
  }

  /** Clients of a session have received large replies of `bytes` in all. */
  acknowledge(session: Session, bytes: number): void {
    this.window.acknowledge(session, bytes);
    this.answerDeferred();
  }

  /** Answers reads that waited for room, as far as there is some. */
  answerDeferred(): void {
    for (let read = this.deferred.next(); read; read = this.deferred.next()) this.answerLate(read);
  }

  /** A session has ended: its waiting reads are dropped, and the room that it took is given back. */
  forget(session: Session): void {
    this.deferred.forget(session);
    this.gzip.forget(session);
    this.window.forget(session);
    this.answerDeferred();
  }

  private giveBack(bytes: number): void {
    this.window.giveBack(bytes);
    this.answerDeferred();
  }

  private defer(session: Session, key: string, kind: ReadKind): void {
    const ticket = session.nextTicket();
    const isWaiting = this.deferred.defer({ session, ticket, key, kind });
    session.reply(isWaiting ? encodeWaiting(ticket) : String.fromCharCode(BUSY));
  }

  private answerLate(read: DeferredRead): void {
    const { store, window } = this;
    const { key, kind } = read;
    const slot = store.peek(key);
    if (slot === NO_SLOT) {
      sendLate(window, read, MISS, '');
      return;
    }
    // The read has waited already: it does not wait for compression as well.
    const gzip = kind.acceptsGzip ? store.gzipView(slot) : undefined;
    if (gzip === undefined) sendLate(window, read, HIT, kind.represent(store, key, slot));
    else sendLate(window, read, HIT_GZIP, payloadOf(gzip));
  }
}
