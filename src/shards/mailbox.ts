import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Doorbell } from '../shared/doorbell.ts';
import { decodeLateReply } from '../shared/late-replies.ts';
import {
  BATCH_DONE,
  BATCH_MIXED,
  CLEARED,
  type Connect,
  type ControlReply,
  type FromShard,
  HIT,
  HIT_GZIP,
  LARGE_HIT,
  LARGE_PAYLOAD,
  LATE,
  PLACED,
  type Payload,
  type SessionMessage,
  UNAVAILABLE,
  type UnsentPut,
  UNDER_TICKET,
  WAITING,
  bytesOf,
  decodeU16,
  decodeU32,
  isRawReply,
} from '../shared/protocol.ts';
import { decodeHead } from '../shared/raw-entries.ts';
import { ReplyMemory } from '../shared/reply-memory.ts';
import type { LargeValueMessage } from '../shared/large-values.ts';
import { Batching } from './batching.ts';
import { ControlChannel } from './control-channel.ts';
import { Deliveries } from './deliveries.ts';
import { LargeValues } from './large-values.ts';
import { LoneClient } from './lone-client.ts';
import { type PendingRequest, PendingRequests } from './pending-requests.ts';

/** How long to busy-wait for a reply: a shard that is awake answers sooner. */
const POLL_MS = 0.15;
/** A full mailbox looks into its port for replies at most this often within a turn. */
const CATCH_UP_INTERVAL_MS = 1;
/** Writes may fill this share of the mailbox; the rest is for reads. */
const WRITE_SHARE = 3 / 4;

export interface MailboxOptions {
  /** Most requests in flight. */
  readonly queueLimit: number;
  readonly deadlineMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** The mailbox busy-waits for replies while at most this many requests are in flight; 0: never. */
  readonly maxPolledFor: number;
}

/** What another HTTP thread needs to have a mailbox of its own. */
export type SessionEnd = Omit<Connect, 'kind'>;

/**
 * This thread's end of one session with a shard: a port, and the doorbell beside it. Requests cross in batches, large
 * PUTs one by one; replies come back in the same order.
 */
export class Mailbox {
  readonly control: ControlChannel;
  readonly largeValues: LargeValues;

  private readonly port: MessagePort;
  private readonly doorbell: Doorbell;
  private readonly options: MailboxOptions;
  private readonly writeLimit: number;
  private readonly requests: PendingRequests;
  private readonly batching: Batching;
  private readonly loneClient: LoneClient;
  private readonly deliveries: Deliveries;
  private replyMemory: ReplyMemory | undefined;
  /** Whether the last hit was a large one: those that follow take longer than a wake-up. */
  private isLastLarge = false;
  private isClosed = false;
  private lastSweepMs: number;
  private isSweepPutOff = false;
  private lastCatchUpMs = -Infinity;
  /** How often the shard had answered when the last batch was posted. */
  private answersBefore = 0;

  constructor(port: MessagePort, doorbell: Doorbell, options: MailboxOptions) {
    this.port = port;
    this.doorbell = doorbell;
    this.options = options;
    this.writeLimit = Math.max(1, Math.floor(options.queueLimit * WRITE_SHARE));
    this.requests = new PendingRequests(options.queueLimit);
    this.batching = new Batching({
      post: (batch) => this.postBatch(batch),
      onTurnEnd: () => this.pollForReply(),
    });
    this.loneClient = new LoneClient(options.maxPolledFor);
    this.deliveries = new Deliveries({
      post: (bytes) => this.post({ kind: 'delivered', bytes }),
      areAwaited: () => this.awaitsReplyRoom,
    });
    this.control = new ControlChannel((request, handedOver) => this.post(request, handedOver), options.now);
    this.largeValues = new LargeValues({
      post: (message, handedOver) => this.postLargeValue(message, handedOver),
      now: options.now,
      addDelivered: (bytes) => {
        if (bytes >= LARGE_PAYLOAD) this.deliveries.add(bytes);
      },
    });
    this.lastSweepMs = options.now();
    port.on('message', (message: FromShard) => this.receive(message));
  }

  get inFlight(): number {
    return this.requests.inFlight;
  }

  /** True while replies wait for room in the shard's reply window. */
  get awaitsReplyRoom(): boolean {
    return this.requests.awaitsReplyRoom || this.largeValues.awaitsReplyRoom;
  }

  /** The last places are for reads, so that they are served while writes are refused. */
  hasRoomFor(kind: 'read' | 'write'): boolean {
    const limit = kind === 'read' ? this.options.queueLimit : this.writeLimit;
    if (this.requests.inFlight >= limit) this.catchUp();
    return this.requests.inFlight < limit;
  }

  /**
   * Sends an encoded request with the next batch, or a large PUT by itself. The caller has asked whether there is
   * room.
   */
  send(request: string | UnsentPut, pending: PendingRequest): void {
    if (typeof request !== 'string') {
      this.sendLargePut(request, pending);
      return;
    }
    const nowMs = this.options.now();
    this.track(pending, nowMs);
    this.batching.add(request, this.requests.isIdle);
    if (this.loneClient.skipsBatch(this.requests.unanswered, nowMs)) this.batching.flush();
  }

  /**
   * Sends the requests of a client's batch, as a string or in a buffer that is handed over, behind what was sent before. The last batch may be
   * larger than the room there was.
   * @param size how many requests there are.
   */
  sendClientBatch(requests: Payload, size: number, pending: PendingRequest): void {
    this.batching.flush();
    this.track(pending, this.options.now(), size);
    this.requests.markPosted();
    this.noteLoneClient();
    this.post({ kind: 'batch', requests }, typeof requests === 'string' ? undefined : [requests.buffer]);
    if (size === 1) setImmediate(this.pollForReply);
  }

  /** Opens one more session with the same shard. @returns its end, for another HTTP thread. */
  openSession(): SessionEnd {
    const { port1, port2 } = new MessageChannel();
    const doorbell = this.doorbell.forAnotherSession().buffers;
    this.port.postMessage({ kind: 'connect', port: port2, doorbell } satisfies Connect, [port2]);
    this.doorbell.ring();
    return { port: port1, doorbell };
  }

  /** Settles requests that are past their deadline. To be called many times per deadline. */
  sweepDeadlines(): void {
    const { now, deadlineMs } = this.options;
    const nowMs = now();
    // If this thread was blocked, replies may wait in the port already. They are read before the next sweep.
    this.isSweepPutOff = nowMs - this.lastSweepMs > deadlineMs / 2 && !this.isSweepPutOff;
    this.lastSweepMs = nowMs;
    if (this.isSweepPutOff) return;
    this.requests.expire(nowMs - deadlineMs);
    this.control.expire(nowMs - deadlineMs);
    this.largeValues.expire(nowMs - deadlineMs);
    this.deliveries.tell();
  }

  /** The shard is gone: settles all requests that wait for it. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.port.close();
    this.batching.clear();
    this.requests.settleAll(UNAVAILABLE);
    this.control.close();
    this.largeValues.close();
  }

  private sendLargePut({ value, ...put }: UnsentPut, pending: PendingRequest): void {
    this.batching.flush();
    this.track(pending, this.options.now());
    this.requests.markPosted();
    const bytes = bytesOf(value).buffer;
    this.post({ kind: 'put', ...put, value: bytes }, [bytes]);
  }

  /** What is committed takes effect behind what was sent before. */
  private postLargeValue(message: LargeValueMessage, handedOver?: ArrayBuffer[]): void {
    if (message.kind === 'commit') this.batching.flush();
    this.post(message, handedOver);
  }

  private track(pending: PendingRequest, nowMs: number, size = 1): void {
    this.requests.track(pending, nowMs, size);
    this.loneClient.sent(pending.connection, this.requests.unanswered, nowMs);
  }

  private postBatch(batch: string): void {
    this.noteLoneClient();
    this.requests.markPosted();
    this.post(batch);
  }

  private noteLoneClient(): void {
    // Read before the post, so that no answer to it is missed.
    this.answersBefore = this.doorbell.answers;
    this.doorbell.isForLoneClient = this.loneClient.isAlone(this.requests.unanswered, this.options.now());
  }

  private post(message: SessionMessage, transferList?: ArrayBuffer[]): void {
    if (this.isClosed) return;
    // Even an empty transfer list costs time.
    if (transferList) this.port.postMessage(message, transferList);
    else this.port.postMessage(message);
    this.doorbell.ring();
  }

  private readonly pollForReply = (): void => {
    const { unanswered, oldestSentAtMs } = this.requests;
    if (!this.loneClient.isWorthPolling(unanswered, oldestSentAtMs) || this.isLastLarge) return;
    // The answer may be to a control request: then the reply comes like any other.
    if (this.doorbell.pollForAnswer(this.answersBefore, POLL_MS)) this.receiveOne();
    else this.loneClient.polledInVain();
  };

  /** Reads replies within the turn: when clients send more than fits, turns are long, and replies lie in the port. */
  private catchUp(): void {
    const nowMs = this.options.now();
    if (nowMs - this.lastCatchUpMs < CATCH_UP_INTERVAL_MS) return;
    this.lastCatchUpMs = nowMs;
    while (this.receiveOne());
    if (this.requests.isIdle) this.batching.flush();
  }

  /** @returns whether there was a message. */
  private receiveOne(): boolean {
    // Only the shard posts to this port.
    const received: { message: FromShard } | undefined = receiveMessageOnPort(this.port);
    if (received) this.receive(received.message);
    return received !== undefined;
  }

  private receive(message: FromShard): void {
    this.control.heard();
    if (typeof message === 'string') {
      this.receiveReplies(message);
    } else if (message.kind === 'hit') {
      this.settle(this.requests.next(), message.code, message.body, message.head);
    } else if (message.kind === 'upload' || message.kind === 'piece') {
      this.largeValues.receive(message);
      return;
    } else {
      this.receiveControl(message);
      return;
    }
    if (this.requests.isIdle) this.batching.release();
  }

  private receiveReplies(replies: string): void {
    const { requests } = this;
    this.isLastLarge = false;
    let at = 0;
    while (at < replies.length) {
      const code = replies.charCodeAt(at++);
      if (code === HIT || code === HIT_GZIP || code === BATCH_DONE || code === BATCH_MIXED) {
        const end = at + 4 + decodeU32(replies, at);
        this.settle(requests.next(), code, replies.slice(at + 4, end));
        at = end;
      } else if (code === CLEARED) {
        requests.next().settle(code, replies.slice(at, at + 4));
        at += 4;
      } else if (code === LATE || code === WAITING) {
        requests.deferNext(decodeU32(replies, at), code === WAITING);
        if (code === WAITING) this.deliveries.tellSoon();
        at += 4;
      } else if (code === PLACED) {
        at = this.receivePlaced(replies, at);
      } else if (code === UNDER_TICKET) {
        const late = decodeLateReply(replies, at);
        this.settle(requests.takeDeferred(late.ticket), late.code, late.payload, late.head);
        at = late.end;
      } else if (isRawReply(code)) {
        const bodyStart = at + 6 + decodeU16(replies, at);
        const end = bodyStart + decodeU32(replies, at + 2);
        this.settleRaw(code, replies.slice(at + 6, bodyStart), replies.slice(bodyStart, end));
        at = end;
      } else {
        requests.next().settle(code, '');
      }
    }
  }

  /** @param at where the code of the hit stands. @returns where the next reply begins. */
  private receivePlaced(replies: string, at: number): number {
    const memory = this.replyMemory!;
    this.isLastLarge = true;
    const place = decodeU32(replies, at + 1);
    const bytes = decodeU32(replies, at + 5);
    const headFrom = at + 11;
    const end = headFrom + decodeU16(replies, at + 9);
    const delivered = (): void => {
      memory.giveBack(place);
      this.deliveries.add(bytes);
    };
    const head = end === headFrom ? undefined : replies.slice(headFrom, end);
    this.requests.next().settle(replies.charCodeAt(at), memory.view(place, bytes), delivered, head);
    return end;
  }

  private receiveControl(message: ControlReply): void {
    if (message.kind === 'late') {
      this.settle(this.requests.takeDeferred(message.ticket), message.code, message.payload, message.head);
    } else if (message.kind === 'memory') {
      this.replyMemory = new ReplyMemory(message.buffer);
    } else if (message.kind !== 'ready') {
      this.control.receive(message);
    }
  }

  private settleRaw(code: number, head: string, body: string): void {
    const pending = this.requests.next();
    if (code !== LARGE_HIT) {
      this.settle(pending, code, body, head);
      return;
    }
    const read = this.largeValues.openRead(decodeU32(body, 0), decodeHead(head).valueBytes);
    pending.settle(code, '', undefined, head, read);
  }

  private settle(pending: PendingRequest, code: number, payload: Payload, head?: string): void {
    const bytes = payload.length;
    this.isLastLarge = bytes >= LARGE_PAYLOAD;
    if (bytes < LARGE_PAYLOAD) pending.settle(code, payload, undefined, head);
    else pending.settle(code, payload, () => this.deliveries.add(bytes), head);
  }
}
