import {
  BUSY,
  GET,
  GET_GZIP,
  LARGE_HIT,
  LARGE_PAYLOAD,
  MISS,
  NOT_MODIFIED,
  NOT_TEXT,
  PRECONDITION_FAILED,
  type Payload,
  RAW_FOUND,
  RAW_GET_GZIP,
  RAW_HEAD,
  encodeLate,
  encodeRawReply,
  encodeU32,
  encodeWaiting,
  freePayload,
} from '../../src/shared/protocol.ts';
import { type Conditions, NO_CONDITIONS } from '../../src/shared/raw-entries.ts';
import type { Session } from '../session.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';
import { judge } from './conditions.ts';
import { type DeferredRead, DeferredReads } from './deferred-reads.ts';
import { FlowControlWindow } from './flow-control-window.ts';
import { tagOfEntry } from './entity-tag.ts';
import { Gzip, codeOf } from './gzip.ts';
import { LargeReads } from './large-reads.ts';
import { sendEntryLate, sendLate, sendRemote } from './late-replies.ts';
import type { WaitingRead } from './read-queue.ts';
import { type ReadKind, headOf, payloadOf, rawReadKind, readKindOf } from './reply-body.ts';

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

/** A read whose entry is asked for elsewhere. It has its ticket. */
export interface RemoteRead extends WaitingRead {
  readonly opcode: number;
  readonly conditions: Conditions;
}

/** Takes a read that has found no entry. */
type OnMiss = (session: Session, key: string, opcode: number, conditions: Conditions) => void;

/** Bodies that may wait to be compressed: a sixth of a second's work. The next reader gets its body plain. */
const MAX_QUEUED_BYTES = 2 ** 22;

/** Answers reads: in their place among the replies, or later under a ticket. */
export class Reads {
  readonly largeReads: LargeReads;
  /** Called instead of a reply where entries may be elsewhere. */
  onMiss: OnMiss | undefined;

  private readonly store: SegmentStore;
  private readonly window: FlowControlWindow;
  private readonly deferred: DeferredReads;
  private readonly gzip: Gzip;

  constructor(options: ReadOptions) {
    const { store, nowMs, replyWindowBytes } = options;
    this.store = store;
    const { shard, replyCells: cells } = options;
    this.window = new FlowControlWindow({ shard, cells, shareBytes: replyWindowBytes, nowMs });
    this.largeReads = new LargeReads(store, this.window);
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
    return this.deferred.isWaiting || this.largeReads.isWaiting;
  }

  /** A batch begins: there is time for compressing again. */
  beginTurn(): void {
    this.gzip.beginTurn();
  }

  /** Answers a JSON read. */
  get(session: Session, key: string, kind: ReadKind): void {
    const slot = this.store.access(key);
    if (slot === NO_SLOT) this.miss(session, key, kind.acceptsGzip ? GET_GZIP : GET, NO_CONDITIONS);
    else if (!this.store.isText(slot)) session.reply(String.fromCharCode(NOT_TEXT));
    else this.answer(session, key, slot, kind);
  }

  /** Answers a raw get or head. @param opcode of the request. */
  getRaw(session: Session, key: string, opcode: number, conditions: Conditions): void {
    const { store } = this;
    const slot = store.access(key);
    if (slot === NO_SLOT) {
      this.miss(session, key, opcode, conditions);
      return;
    }
    const verdict = judge(conditions, () => tagOfEntry(store, slot, store.metadata(slot)));
    if (verdict === 'no match') session.reply(String.fromCharCode(PRECONDITION_FAILED));
    else if (verdict === 'match') session.reply(encodeRawReply(NOT_MODIFIED, headOf(store, slot), ''));
    else if (opcode === RAW_HEAD) session.reply(encodeRawReply(RAW_FOUND, headOf(store, slot), ''));
    else this.answerRaw(session, key, slot, rawReadKind(opcode === RAW_GET_GZIP, store, slot));
  }

  /** False while no large value may be sent: too many bytes are on their way to clients. */
  get hasRoom(): boolean {
    return this.window.hasRoom;
  }

  /** As `sendBatch`, under a ticket. */
  sendBatchLate(session: Session, ticket: number, code: number, records: Payload): void {
    if (!session.isClosed) sendLate(this.window, { session, ticket, key: '' }, code, records);
  }

  /** Sends the reply to a client's batch. @param code BATCH_DONE or BATCH_MIXED. */
  sendBatch(session: Session, code: number, records: Payload): void {
    this.window.count(session, records.length);
    reply(session, code, records, undefined);
    session.flush();
  }

  /** Answers a read whose entry has been asked for elsewhere, and may be here now. */
  answerRemote(read: RemoteRead): void {
    const { store, window } = this;
    const { session, key, opcode, conditions } = read;
    if (session.isClosed) return;
    const slot = store.peek(key);
    if (slot === NO_SLOT) {
      sendRemote(window, read, MISS, '');
      return;
    }
    const jsonKind = readKindOf(opcode);
    if (jsonKind) {
      if (store.isText(slot)) this.answerUnderTicket(read, slot, jsonKind);
      else sendRemote(window, read, NOT_TEXT, '');
      return;
    }
    const verdict = judge(conditions, () => tagOfEntry(store, slot, store.metadata(slot)));
    if (verdict === 'no match') sendRemote(window, read, PRECONDITION_FAILED, '');
    else if (verdict === 'match') sendRemote(window, read, NOT_MODIFIED, '', headOf(store, slot));
    else if (opcode === RAW_HEAD) sendRemote(window, read, RAW_FOUND, '', headOf(store, slot));
    else this.answerUnderTicket(read, slot, rawReadKind(opcode === RAW_GET_GZIP, store, slot));
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
    // One piece first, or reads of whole values could take all the room there ever is.
    this.largeReads.sendWaiting(1);
    for (let read = this.deferred.next(); read; read = this.deferred.next()) this.answerLate(read);
    this.largeReads.sendWaiting();
  }

  /** A session has ended: its waiting reads are dropped, and the room that it took is given back. */
  forget(session: Session): void {
    this.largeReads.forget(session);
    this.deferred.forget(session);
    this.gzip.forget(session);
    this.window.forget(session);
    this.answerDeferred();
  }

  private miss(session: Session, key: string, opcode: number, conditions: Conditions): void {
    if (this.onMiss) this.onMiss(session, key, opcode, conditions);
    else session.reply(String.fromCharCode(MISS));
  }

  private answerUnderTicket(read: RemoteRead, slot: number, kind: ReadKind): void {
    const { store, window } = this;
    const { session, ticket, key } = read;
    if (store.valueBytes(slot) >= LARGE_PAYLOAD && !window.hasRoom) {
      if (!this.deferred.defer({ session, ticket, key, kind })) sendRemote(window, read, BUSY, '');
      return;
    }
    const head = kind.head?.(store, slot);
    const answer = this.gzip.answer(session, key, slot, kind, ticket);
    if (answer.kind === 'now') sendRemote(window, read, codeOf(kind, answer.isGzip), answer.payload, head);
  }

  private answerRaw(session: Session, key: string, slot: number, kind: ReadKind): void {
    const { store } = this;
    const chain = store.chainOf(slot);
    if (!chain) {
      this.answer(session, key, slot, kind);
      return;
    }
    const read = this.largeReads.open(session, key, chain);
    if (read === undefined) session.reply(String.fromCharCode(BUSY));
    else session.reply(encodeRawReply(LARGE_HIT, headOf(store, slot), encodeU32(read)));
  }

  /** Answers a read that has found its entry. */
  private answer(session: Session, key: string, slot: number, kind: ReadKind): void {
    const { store, window } = this;
    if (store.valueBytes(slot) >= LARGE_PAYLOAD && !window.hasRoom) {
      this.defer(session, key, kind);
      return;
    }
    // Before the entry may move, since it is given a gzip form.
    const head = kind.head?.(store, slot);
    if (store.valueBytes(slot) >= LARGE_PAYLOAD && this.answerPlaced(session, key, slot, kind, head)) return;
    const answer = this.gzip.answer(session, key, slot, kind);
    if (answer.kind === 'later') {
      session.reply(encodeLate(answer.ticket));
      return;
    }
    const { payload } = answer;
    if (payload.length >= LARGE_PAYLOAD) {
      // The value alone may have been small: escaped it is up to six times as long.
      if (!window.hasRoom) {
        freePayload(payload);
        this.defer(session, key, kind);
        return;
      }
      window.send(session, payload.length);
    }
    reply(session, codeOf(kind, answer.isGzip), payload, head);
  }

  /** Answers from the memory that is shared with the HTTP thread. @returns false where the body has to go another way. */
  private answerPlaced(
    session: Session,
    key: string,
    slot: number,
    kind: ReadKind,
    head: string | undefined,
  ): boolean {
    const parts = this.gzip.leavesPlain(kind) ? kind.partsOf(this.store, key, slot) : undefined;
    const bytes = parts ? session.replyPlaced(kind.hitCode, parts, head ?? '') : 0;
    if (bytes > 0) this.window.send(session, bytes);
    return bytes > 0;
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
    const gzip = kind.acceptsGzip ? store.gzipView(slot, kind.isOfValue) : undefined;
    if (gzip === undefined) sendEntryLate({ store, window }, read, kind, slot);
    else sendLate(window, read, kind.gzipCode, payloadOf(gzip), kind.head?.(store, slot));
  }
}

/** Replies to a read, in its place. */
function reply(session: Session, code: number, payload: Payload, head: string | undefined): void {
  if (typeof payload !== 'string') session.post({ kind: 'hit', code, body: payload, head }, [payload.buffer]);
  else if (head !== undefined) session.reply(encodeRawReply(code, head, payload));
  else session.reply(String.fromCharCode(code) + encodeU32(payload.length) + payload);
}
