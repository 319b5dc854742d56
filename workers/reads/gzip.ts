import { assert } from '../../src/shared/assert.ts';
import { MISS, type Payload, bytesOf } from '../../src/shared/protocol.ts';
import type { Session } from '../session.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';
import { Compressor, MAX_SYNC_BYTES } from './compressor.ts';
import type { FlowControlWindow } from './flow-control-window.ts';
import { sendEntryLate, sendLate } from './late-replies.ts';
import { ReadQueue, type WaitingRead } from './read-queue.ts';
import { type ReadKind, payloadOf } from './reply-body.ts';

/** A reply at once, or one that follows under a ticket. */
export type Answer =
  | { readonly kind: 'now'; readonly isGzip: boolean; readonly payload: Payload }
  | { readonly kind: 'later'; readonly ticket: number };

/** A read whose long body is being compressed. The entry may be another when that is done. */
interface CompressedRead extends WaitingRead {
  readonly readKind: ReadKind;
  readonly head: string | undefined;
}

/** A read that waits for its short body to be compressed. */
interface UncompressedRead extends WaitingRead {
  readonly readKind: ReadKind;
  readonly bodyBytes: number;
}

export interface GzipOptions {
  readonly store: SegmentStore;
  readonly window: FlowControlWindow;
  /** Longer bodies are compressed for clients that accept it; 0 turns compression off. */
  readonly thresholdBytes: number;
  /** Bytes of bodies that may wait to be compressed. */
  readonly maxQueuedBytes: number;
  readonly nowMs: () => number;
  /** Calls back after the messages that have arrived by then. */
  readonly defer: (task: () => void) => void;
  /** Gives bytes back to the window, and answers reads that wait for them. */
  readonly giveBack: (bytes: number) => void;
}

/** Time for compressing bodies of up to `MAX_SYNC_BYTES` in one turn. What is left waits for turns of its own. */
const BUDGET_MS = 2;

/**
 * Answers reads, in gzip where the client accepts it and the body is long enough. If the store keeps a gzip form, that
 * is sent. Otherwise a short body is compressed at once, as long as this turn of the event loop has time for it; if not, it
 * waits in a queue. A long body is compressed on another thread.
 */
export class Gzip {
  private readonly options: GzipOptions;
  private readonly compressor: Compressor;
  private readonly queue = new ReadQueue<UncompressedRead>();
  private queuedBytes = 0;
  /** What is left of this turn's time. */
  private budgetMs = 0;
  private isTurnAsked = false;

  constructor(options: GzipOptions) {
    this.options = options;
    this.compressor = new Compressor(options.store);
  }

  /** True while something is being compressed, or waits for it, which needs turns of the event loop. */
  get isBusy(): boolean {
    return this.compressor.isBusy || this.queue.length > 0;
  }

  beginTurn(): void {
    this.budgetMs = BUDGET_MS;
  }

  /** Whether no body of such a read is ever compressed. */
  leavesPlain({ acceptsGzip }: ReadKind): boolean {
    return !acceptsGzip || this.options.thresholdBytes === 0;
  }

  /** @param ticket of a read that has one already. */
  answer(session: Session, key: string, slot: number, readKind: ReadKind, ticket?: number): Answer {
    const { store, thresholdBytes } = this.options;
    if (this.leavesPlain(readKind)) {
      return { kind: 'now', isGzip: false, payload: readKind.represent(store, key, slot) };
    }
    const gzip = store.gzipView(slot, readKind.isOfValue);
    if (gzip !== undefined) return { kind: 'now', isGzip: true, payload: payloadOf(gzip) };
    const joined = this.compressor.isBusy ? this.join(session, key, slot, readKind, ticket) : undefined;
    if (joined) return joined;
    const body = readKind.represent(store, key, slot);
    if (body.length <= thresholdBytes || store.isIncompressible(slot)) {
      return { kind: 'now', isGzip: false, payload: body };
    }
    if (body.length > MAX_SYNC_BYTES) return this.compressLong(session, key, slot, readKind, body, ticket);
    return this.budgetMs > 0
      ? this.compressShort(slot, readKind, body)
      : this.queueShort(session, key, readKind, body, ticket);
  }

  /** The entry of a key is about to change, or all entries are: waiting reads get the present body, uncompressed. */
  settle(key?: string): void {
    this.compressor.forget(key);
    const { store, window } = this.options;
    for (const read of this.queue.take(key)) {
      this.queuedBytes -= read.bodyBytes;
      window.giveBack(read.bodyBytes);
      const slot = store.peek(read.key);
      if (slot === NO_SLOT) sendLate(window, read, MISS, '');
      else sendEntryLate(this.options, read, read.readKind, slot);
    }
  }

  /** A session has ended: its waiting reads are dropped. */
  forget(session: Session): void {
    for (const { bodyBytes } of this.queue.takeOf(session)) {
      this.queuedBytes -= bodyBytes;
      this.options.window.giveBack(bodyBytes);
    }
  }

  private compressShort(slot: number, { isOfValue }: ReadKind, body: Payload): Answer {
    const { nowMs } = this.options;
    const startedMs = nowMs();
    const compressed = this.compressor.compressNow(slot, body, isOfValue);
    this.budgetMs -= nowMs() - startedMs;
    return compressed === undefined
      ? { kind: 'now', isGzip: false, payload: body }
      : { kind: 'now', isGzip: true, payload: payloadOf(compressed) };
  }

  private queueShort(
    session: Session,
    key: string,
    readKind: ReadKind,
    body: Payload,
    given: number | undefined,
  ): Answer {
    const bodyBytes = body.length;
    if (this.queuedBytes + bodyBytes > this.options.maxQueuedBytes) {
      return { kind: 'now', isGzip: false, payload: body };
    }
    const ticket = given ?? session.nextTicket();
    this.queue.push({ session, ticket, key, readKind, bodyBytes });
    this.queuedBytes += bodyBytes;
    this.options.window.take(bodyBytes);
    this.askForTurn();
    return { kind: 'later', ticket };
  }

  private askForTurn(): void {
    if (this.isTurnAsked || this.queue.length === 0) return;
    this.isTurnAsked = true;
    this.options.defer(() => this.compressQueued());
  }

  private compressQueued(): void {
    const { store, window, giveBack } = this.options;
    this.isTurnAsked = false;
    this.beginTurn();
    while (this.budgetMs > 0 && this.queue.length > 0) {
      const read = this.queue.shift()!;
      this.queuedBytes -= read.bodyBytes;
      const slot = store.peek(read.key);
      if (slot === NO_SLOT) {
        sendLate(window, read, MISS, '');
      } else {
        const { readKind } = read;
        const head = readKind.head?.(store, slot);
        const answer = this.answer(read.session, read.key, slot, readKind);
        assert(answer.kind === 'now', 'within its budget a short body is compressed at once');
        sendLate(window, read, codeOf(readKind, answer.isGzip), answer.payload, head);
      }
      giveBack(read.bodyBytes);
    }
    this.askForTurn();
  }

  private compressLong(
    session: Session,
    key: string,
    slot: number,
    readKind: ReadKind,
    body: Payload,
    ticket: number | undefined,
  ): Answer {
    // More jobs at once would all miss the deadline.
    if (!this.compressor.takesMore || this.compressor.isCompressing(key)) {
      return { kind: 'now', isGzip: false, payload: body };
    }
    const read = this.readOf(session, key, slot, readKind, ticket);
    this.options.window.take(body.length);
    this.compressor.compressLater(key, body, readKind.isOfValue, (compressed) =>
      this.finish(read, compressed, body),
    );
    return { kind: 'later', ticket: read.ticket };
  }

  /** Waits for a job that runs for the same entry, if there is one. */
  private join(
    session: Session,
    key: string,
    slot: number,
    readKind: ReadKind,
    ticket: number | undefined,
  ): Answer | undefined {
    const read = this.readOf(session, key, slot, readKind, ticket);
    const bodyBytes = this.compressor.join(key, readKind.isOfValue, (compressed, body) =>
      this.finish(read, compressed, body),
    );
    if (bodyBytes === 0) return undefined;
    // Each gets a copy.
    this.options.window.take(bodyBytes);
    return { kind: 'later', ticket: read.ticket };
  }

  private readOf(
    session: Session,
    key: string,
    slot: number,
    readKind: ReadKind,
    ticket: number | undefined,
  ): CompressedRead {
    const head = readKind.head?.(this.options.store, slot);
    return { session, key, ticket: ticket ?? session.nextTicket(), readKind, head };
  }

  private finish(read: CompressedRead, compressed: Buffer | undefined, body: Payload): void {
    const { window, giveBack } = this.options;
    const { readKind, head } = read;
    // The session may have ended while the job ran.
    if (!read.session.isClosed) {
      // A body longer than `MAX_SYNC_BYTES` is always handed over: each reader gets a copy.
      if (compressed === undefined) sendLate(window, read, readKind.hitCode, bytesOf(body), head);
      else sendLate(window, read, readKind.gzipCode, payloadOf(compressed), head);
    }
    giveBack(body.length);
  }
}

/** The code of a reply that has a body. */
export function codeOf(readKind: ReadKind, isGzip: boolean): number {
  return isGzip ? readKind.gzipCode : readKind.hitCode;
}
