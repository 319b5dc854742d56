import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { assert } from '../shared/assert.ts';
import { type Doorbell, WAIT_MS } from '../shared/doorbell.ts';
import {
  CLEARED,
  type ControlReply,
  type FromShard,
  HIT,
  HIT_GZIP,
  LARGE_PAYLOAD,
  LATE,
  OVERDUE,
  type Payload,
  type ToShard,
  UNAVAILABLE,
  type UnsentPut,
  WAITING,
  bytesOf,
  decodeU32,
  freePayload,
} from '../shared/protocol.ts';

/** Who waits for one reply. */
export interface Receiver {
  /** What the request came on. Those of a client that asks one thing after the other all have the same. */
  readonly connection: object | undefined;
  /**
   * Called exactly once, with a reply code of the protocol.
   * @param delivered to be called when nobody holds the payload any more; given with large ones only.
   */
  settle(code: number, payload: Payload, delivered?: () => void): void;
}

/** A receiver that has been answered already, because its deadline passed; the shard's reply is dropped. */
const ANSWERED: Receiver = {
  connection: undefined,
  settle: (_code, payload, delivered) => {
    freePayload(payload);
    delivered?.();
  },
};

/** A reply that follows under its ticket. */
interface LateReply {
  readonly receiver: Receiver;
  readonly sentAtMs: number;
  /** Or else it is being made. */
  readonly waitsForRoom: boolean;
}

interface PendingControl {
  readonly resolve: (reply: ControlReply | undefined) => void;
  readonly sentAtMs: number;
  /** A shed order takes the time it takes. */
  readonly hasDeadline: boolean;
}

/** How long this thread looks for the replies to a few requests: a shard that is awake answers sooner. */
const POLL_MS = 0.15;
/** How often it looks, within a turn, for replies that make room. */
const LOOK_INTERVAL_MS = 1;
/** So many requests gather until a turn brings none, and for a while after them no few are polled for. */
const MANY = 4;
/** A batch that has grown to this size does not wait for the end of the turn. */
const FLUSH_CHARACTERS = 2 ** 18;
/** Share of the requests in flight that may be writes when there is no room for all. */
const WRITE_SHARE = 3 / 4;

export interface MailboxOptions {
  /** Requests in flight at the most. */
  readonly queueLimit: number;
  readonly deadlineMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  readonly doorbell: Doorbell;
  /** It polls for replies while at most so many requests are in flight; 0: never. */
  readonly mostPolledFor: number;
}

/**
 * The main thread's end of one shard's port. Requests cross as one message when the batch before them has been
 * answered and turns of the event loop bring no more of them, large PUTs each by itself. Replies come back in the
 * same order, so the receivers wait in a ring:
 *
 *     oldest ──► [ answered | waiting | waiting | … | waiting ] ◄── newest      at most queueLimit
 */
export class ShardMailbox {
  private readonly options: MailboxOptions;
  private readonly port: MessagePort;
  private readonly receivers: Receiver[];
  private readonly sentAtMs: Float64Array;
  private readonly ringMask: number;
  private readonly writeLimit: number;
  /** Counts of requests ever sent and answered; their difference is in flight. */
  private sent = 0;
  private answered = 0;
  /** Up to here deadlines have been looked at. */
  private swept = 0;
  private batch = '';
  /** Count of requests that have left in batches. While they are not all answered the next batch gathers. */
  private posted = 0;
  private readonly late = new Map<number, LateReply>();
  private readonly controls = new Map<number, PendingControl>();
  private nextControlId = 1;
  private isClosed = false;
  private lastHeardMs: number;
  private pingedAtMs = Infinity;
  private lastSweepMs: number;
  /** True when the last look at the deadlines was put off. */
  private hasWaited = false;
  /** What the batch held when the last turn ended. */
  private gathered = 0;
  private lastConnection: object | undefined;
  /** When there was last another request in flight, or one from another connection than the one before. */
  private lastCrowdMs = -Infinity;
  /** When many were last in flight. */
  private lastManyMs = -Infinity;
  /** Of a few last in flight at the end of a turn: when the oldest was sent. Long ago if it was polled for in vain. */
  private lastFewMs = -Infinity;
  /** How often the shard had answered before the last batch left. */
  private answersBefore = 0;
  private lastLookMs = -Infinity;
  /** Characters of large replies that have reached their clients, of which the shard has not been told. */
  private delivered = 0;
  private readonly postDelivered = (): void => {
    const characters = this.delivered;
    this.delivered = 0;
    if (!this.isClosed) this.post({ kind: 'delivered', characters });
  };
  /** Waking a thread costs more than a request: while requests keep coming in turn after turn, they gather. */
  private readonly endTurn = (): void => {
    const gathered = this.sent - this.posted;
    if (gathered >= MANY && gathered > this.gathered) {
      this.gathered = gathered;
      setImmediate(this.endTurn);
    } else {
      this.leave();
      this.pollForFew();
    }
  };

  constructor(port: MessagePort, options: MailboxOptions) {
    this.port = port;
    this.options = options;
    this.lastHeardMs = options.now();
    this.lastSweepMs = this.lastHeardMs;
    this.writeLimit = Math.max(1, Math.floor(options.queueLimit * WRITE_SHARE));
    const ringSize = 2 ** Math.ceil(Math.log2(options.queueLimit));
    this.receivers = Array.from({ length: ringSize }, () => ANSWERED);
    this.sentAtMs = new Float64Array(ringSize);
    this.ringMask = ringSize - 1;
    port.on('message', (message: FromShard) => this.handle(message));
  }

  get inFlight(): number {
    return this.sent - this.answered + this.late.size;
  }

  /** True while replies are to follow that had no room to be sent. */
  get lacksRoom(): boolean {
    for (const { waitsForRoom } of this.late.values()) if (waitsForRoom) return true;
    return false;
  }

  /** False when as many requests are in flight as may be. */
  hasRoom(): boolean {
    if (this.inFlight >= this.options.queueLimit) this.catchUp();
    return this.inFlight < this.options.queueLimit;
  }

  /** False a little earlier: the last places are for reads, so that they are served while writes are refused. */
  hasRoomToWrite(): boolean {
    if (this.inFlight >= this.writeLimit) this.catchUp();
    return this.inFlight < this.writeLimit;
  }

  /** Queues one encoded request, or sends a large PUT. The caller has asked whether there is room. */
  send(request: string | UnsentPut, receiver: Receiver): void {
    if (typeof request !== 'string') {
      this.handOver(request, receiver);
      return;
    }
    const nowMs = this.options.now();
    if (this.batch === '' && this.answered === this.posted) setImmediate(this.endTurn);
    this.enter(receiver, nowMs);
    this.batch += request;
    // The shard may have the request of a lone client while this turn ends; of several it would split a batch.
    const isAwaited = nowMs - this.lastFewMs < WAIT_MS && this.isClientLone(nowMs);
    if (isAwaited || this.batch.length >= FLUSH_CHARACTERS) this.leave();
  }

  /** @returns the shard's answer, or undefined when it gave none: it died, or its deadline passed. */
  control(
    request: { readonly kind: 'stats' | 'ping' } | { readonly kind: 'shed'; readonly shedBytes: number },
  ): Promise<ControlReply | undefined> {
    if (this.isClosed) return Promise.resolve(undefined);
    const id = this.nextControlId++;
    return new Promise((resolve) => {
      const hasDeadline = request.kind !== 'shed';
      this.controls.set(id, { resolve, sentAtMs: this.options.now(), hasDeadline });
      this.post({ ...request, id });
    });
  }

  /**
   * Asks the shard for a sign of life, unless it is being asked.
   * @returns for how many milliseconds the shard has given none since it was asked.
   */
  heartbeat(): number {
    const nowMs = this.options.now();
    if (this.lastHeardMs >= this.pingedAtMs) this.pingedAtMs = Infinity;
    if (this.pingedAtMs === Infinity) {
      this.pingedAtMs = nowMs;
      void this.control({ kind: 'ping' });
    }
    return nowMs - this.pingedAtMs;
  }

  /** Answers what has waited for longer than the deadline. To be called many times per deadline. */
  sweepDeadlines(): void {
    const nowMs = this.options.now();
    const isLate = nowMs - this.lastSweepMs > this.options.deadlineMs / 2;
    this.lastSweepMs = nowMs;
    // This thread has stood still: the shard's replies may lie in the port already, and will be read by the next look.
    if (isLate && !this.hasWaited) {
      this.hasWaited = true;
      return;
    }
    this.hasWaited = false;
    const overdueBefore = nowMs - this.options.deadlineMs;
    if (this.swept < this.answered) this.swept = this.answered;
    while (this.swept < this.sent && this.sentAtMs[this.swept & this.ringMask] <= overdueBefore) {
      const place = this.swept++ & this.ringMask;
      const receiver = this.receivers[place];
      this.receivers[place] = ANSWERED;
      receiver.settle(OVERDUE, '');
    }
    for (const [ticket, waiting] of this.late) {
      if (waiting.sentAtMs > overdueBefore) break;
      this.late.delete(ticket);
      waiting.receiver.settle(OVERDUE, '');
    }
    for (const [id, { resolve, sentAtMs, hasDeadline }] of this.controls) {
      if (!hasDeadline || sentAtMs > overdueBefore) continue;
      this.controls.delete(id);
      resolve(undefined);
    }
  }

  /** The shard is no more: whoever waits is told so. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.port.close();
    this.batch = '';
    while (this.answered < this.sent) this.take().settle(UNAVAILABLE, '');
    for (const waiting of this.late.values()) waiting.receiver.settle(UNAVAILABLE, '');
    this.late.clear();
    for (const { resolve } of this.controls.values()) resolve(undefined);
    this.controls.clear();
  }

  private handOver({ key, value, ttlMs }: UnsentPut, receiver: Receiver): void {
    this.leave();
    this.enter(receiver, this.options.now());
    this.posted = this.sent;
    const bytes = bytesOf(value).buffer;
    this.post({ kind: 'put', key, value: bytes, ttlMs }, [bytes]);
  }

  /** Where clients bring more than can be taken, turns of the event loop are long, and replies may lie in the port. */
  private catchUp(): void {
    const nowMs = this.options.now();
    if (nowMs - this.lastLookMs < LOOK_INTERVAL_MS) return;
    this.lastLookMs = nowMs;
    while (this.takeReply());
    if (this.answered === this.posted) this.leave();
  }

  /** @returns whether there was a message. */
  private takeReply(): boolean {
    // Only the shard posts to this port.
    const received: { message: FromShard } | undefined = receiveMessageOnPort(this.port);
    if (received) this.handle(received.message);
    return received !== undefined;
  }

  private enter(receiver: Receiver, sentAtMs: number): void {
    const place = this.sent++ & this.ringMask;
    this.receivers[place] = receiver;
    this.sentAtMs[place] = sentAtMs;
    if (!this.isLone || receiver.connection !== this.lastConnection) this.lastCrowdMs = sentAtMs;
    if (this.sent - this.answered >= MANY) this.lastManyMs = sentAtMs;
    this.lastConnection = receiver.connection;
  }

  /** True while one request is in flight and no other. */
  private get isLone(): boolean {
    return this.sent - this.answered === 1;
  }

  /** Whether all requests of late have come from one client, each when the one before had been answered. */
  private isClientLone(nowMs: number): boolean {
    return this.isLone && nowMs - this.lastCrowdMs > WAIT_MS;
  }

  /** A few requests soon after others: clients that wait for their answers, and a shard still awake. */
  private pollForFew(): void {
    const { mostPolledFor, doorbell } = this.options;
    const waiting = this.sent - this.answered;
    if (waiting === 0 || waiting > mostPolledFor || this.isClosed) return;
    const sentAtMs = this.sentAtMs[this.answered & this.ringMask];
    // Many clients whose requests come a few at a time would keep their batches short if they were polled for.
    const isSoon = sentAtMs - this.lastFewMs < WAIT_MS && sentAtMs - this.lastManyMs > WAIT_MS;
    const isAnswered = isSoon && doorbell.pollForAnswer(this.answersBefore, POLL_MS);
    // Polled for in vain, a request says nothing of the next one.
    this.lastFewMs = isSoon && !isAnswered ? -Infinity : sentAtMs;
    // It may be another message, such as statistics: then the reply comes as all others do.
    if (isAnswered) this.takeReply();
  }

  /** What has gathered leaves for the shard. */
  private leave(): void {
    const { batch } = this;
    if (batch === '' || this.isClosed) return;
    this.batch = '';
    const { doorbell, now } = this.options;
    this.answersBefore = doorbell.answers;
    doorbell.isForLoneClient = this.isClientLone(now());
    this.posted = this.sent;
    this.gathered = 0;
    this.post(batch);
  }

  private post(message: ToShard, handedOver?: ArrayBuffer[]): void {
    // A list to look through costs something, even when it is empty.
    if (handedOver) this.port.postMessage(message, handedOver);
    else this.port.postMessage(message);
    this.options.doorbell.ring();
  }

  private handle(message: FromShard): void {
    this.lastHeardMs = this.options.now();
    if (typeof message === 'string') {
      this.receive(message);
    } else if (message.kind === 'hit') {
      this.settlePayload(this.take(), message.code, message.body);
    } else {
      this.receiveControl(message);
      return;
    }
    if (this.batch !== '' && this.answered === this.posted) setImmediate(this.endTurn);
  }

  private take(): Receiver {
    assert(this.answered < this.sent, 'a shard answers no more than it was asked');
    const place = this.answered++ & this.ringMask;
    const receiver = this.receivers[place];
    this.receivers[place] = ANSWERED;
    return receiver;
  }

  private receive(replies: string): void {
    let at = 0;
    while (at < replies.length) {
      const code = replies.charCodeAt(at++);
      if (code === HIT || code === HIT_GZIP) {
        const end = at + 4 + decodeU32(replies, at);
        this.settlePayload(this.take(), code, replies.slice(at + 4, end));
        at = end;
      } else if (code === CLEARED) {
        this.take().settle(code, String(decodeU32(replies, at)));
        at += 4;
      } else if (code === LATE || code === WAITING) {
        const sentAtMs = this.sentAtMs[this.answered & this.ringMask];
        const reply = { receiver: this.take(), sentAtMs, waitsForRoom: code === WAITING };
        this.late.set(decodeU32(replies, at), reply);
        at += 4;
      } else {
        this.take().settle(code, '');
      }
    }
  }

  private settlePayload(receiver: Receiver, code: number, payload: Payload): void {
    const characters = payload.length;
    if (characters < LARGE_PAYLOAD) receiver.settle(code, payload);
    else receiver.settle(code, payload, () => this.reportDelivered(characters));
  }

  private reportDelivered(characters: number): void {
    if (this.delivered === 0) setImmediate(this.postDelivered);
    this.delivered += characters;
  }

  private receiveControl(message: ControlReply): void {
    if (message.kind === 'late') {
      const waiting = this.late.get(message.ticket);
      this.late.delete(message.ticket);
      this.settlePayload(waiting?.receiver ?? ANSWERED, message.code, message.payload);
    } else if (message.kind !== 'ready') {
      const control = this.controls.get(message.id);
      this.controls.delete(message.id);
      control?.resolve(message);
    }
  }
}
