import { BATCH_TYPE, BatchReader, BatchWriter, IS_ERROR } from '../api/batch-format.ts';
import { TEXT_CODEC } from '#http-transport';
import { AnswerSize } from './batch-limits.ts';
import type { Call } from './call.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import { CacheError } from './errors.ts';
import { LargeKeys, isPlainRead, plainRead, recordOf, requestAlone } from './large-values.ts';
import { errorOf } from './replies.ts';
import { type Failure, failureOf, isGateway, retryDelayMs } from './retry-policy.ts';
import { ConnectionError, type Exchange, type HttpRequest, type Reply, type Transport } from './transport.ts';

export interface LaneOptions {
  readonly transport: Transport;
  readonly breaker: CircuitBreaker;
  readonly timeoutMs: number;
  readonly maxBatchRequests: number;
  readonly maxBatchBytes: number;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** Runs when all that is ready now has been asked for: at the end of the turn. */
  readonly afterTurn: (callback: () => void) => void;
}

const NO_CALLS: readonly Call[] = [];

/**
 * Sends the calls of some keys, in their order. What is asked in one turn of the event loop leaves together. While a batch
 * is in flight calls gather, so batches grow by themselves with the load.
 */
export class Lane {
  private readonly options: LaneOptions;
  private readonly writer = new BatchWriter(TEXT_CODEC);
  /** In the order in which they leave. */
  private queue: Call[] = [];
  /** The batch in flight; empty when there is none. */
  private sent: readonly Call[] = NO_CALLS;
  private exchange: Exchange | undefined;
  /** Calls behind one of the same key that is sent alone, or about to be tried again; by key. */
  private readonly held = new Map<string, Call[]>();
  /** Those that the held ones are behind, with their exchanges while they are sent alone. */
  private readonly waiting = new Map<Call, Exchange | undefined>();
  private readonly largeKeys = new LargeKeys();
  private readonly answerSize = new AnswerSize();
  private isTurnBegun = false;
  /** When the first call of this turn was made. */
  private turnMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LaneOptions) {
    this.options = options;
  }

  add(call: Call): void {
    if (!this.isTurnBegun) this.beginTurn();
    call.deadlineMs = this.turnMs + this.options.timeoutMs;
    if (this.timer === undefined) this.watch(call);
    this.queue.push(call);
  }

  /** Ends all calls. */
  close(error: CacheError): void {
    clearTimeout(this.timer);
    this.exchange?.abort(error);
    for (const exchange of this.waiting.values()) exchange?.abort(error);
    for (const call of this.all()) call.fail(error);
    this.queue = [];
    this.held.clear();
  }

  private *all(): Iterable<Call> {
    yield* this.sent;
    yield* this.waiting.keys();
    yield* this.queue;
    for (const behind of this.held.values()) yield* behind;
  }

  private beginTurn(): void {
    this.isTurnBegun = true;
    this.turnMs = this.options.nowMs();
    this.options.afterTurn(this.endTurn);
  }

  private readonly endTurn = (): void => {
    this.isTurnBegun = false;
    if (this.sent.length === 0 && this.queue.length > 0) void this.sendBatch();
  };

  private async sendBatch(): Promise<void> {
    const { transport, breaker } = this.options;
    const body = this.takeBatch();
    if (this.sent.length === 0) return;
    breaker.begin();
    try {
      const [first] = this.sent;
      const isPlain = transport.isGetQuicker && this.sent.length === 1 && isPlainRead(first);
      this.exchange = transport.send(isPlain ? plainRead(first) : batchOf(body));
      const reply = await this.exchange.reply;
      if (isGatewayFailure(reply)) breaker.fail();
      else breaker.succeed();
      if (isPlain) this.settleAlone(first, reply);
      else this.receive(reply);
    } catch (error) {
      breaker.fail();
      this.failAll(error);
    }
    this.sent = NO_CALLS;
    if (this.queue.length > 0 && !this.isTurnBegun) this.beginTurn();
  }

  /** Moves calls from the queue to `sent`, and sends those that go alone. @returns the first ones as the body of a request. */
  private takeBatch(): Uint8Array<ArrayBuffer> {
    const { maxBatchBytes } = this.options;
    const maxCalls = Math.min(this.options.maxBatchRequests, this.answerSize.maxCalls);
    const { queue, writer, held } = this;
    const sent: Call[] = [];
    let taken = 0;
    for (; taken < queue.length; taken++) {
      if (sent.length >= maxCalls || writer.byteLength >= maxBatchBytes) break;
      const call = queue[taken];
      if (call.isSettled) continue;
      const behind = held.size > 0 ? held.get(call.key) : undefined;
      if (behind) behind.push(call);
      else if (!call.isAlone && !this.largeKeys.isReadOf(call)) this.write(call, sent);
      else if (sent.every(({ key }) => key !== call.key)) this.sendAlone(call);
      else break;
    }
    this.queue = taken === queue.length ? [] : queue.slice(taken);
    this.sent = sent;
    return writer.take();
  }

  private write(call: Call, sent: Call[]): void {
    try {
      this.writer.add(call);
      call.attempts++;
      sent.push(call);
    } catch (error) {
      call.fail(new CacheError('CACHE_ERR_KEY_INVALID', (error as Error).message, 400));
    }
  }

  private receive(reply: Reply): void {
    const { sent } = this;
    const { status, retryAfterMs, body } = reply;
    if (status !== 200) {
      const error = errorOf(reply);
      const failure = failureOf(status, error.code);
      for (const call of sent) this.failOrRetry(call, failure, retryAfterMs, error);
      return;
    }
    const reader = new BatchReader(body);
    let succeeded = 0;
    for (const call of sent) {
      const record = reader.next();
      if (!record) throw new Error('The server answered fewer requests than were sent.');
      if ((record.flags & IS_ERROR) === 0) {
        succeeded++;
        call.succeed(record, body);
      } else {
        const { code, message } = splitError(TEXT_CODEC.read(body, record.valueStart, record.valueEnd));
        this.receiveError(call, new CacheError(code, message, record.status));
      }
    }
    this.answerSize.note(body.length, succeeded);
  }

  private receiveError(call: Call, error: CacheError): void {
    const isTooLarge = error.code === 'CACHE_ERR_VALUE_TOO_LARGE';
    if (!isTooLarge || call.isSettled || this.hasLater(call)) {
      this.failOrRetry(call, failureOf(error.status, error.code), 0, error);
      return;
    }
    call.isAlone = true;
    this.largeKeys.add(call.key);
    const behind = this.held.get(call.key);
    if (behind) behind.push(call);
    else this.sendAlone(call);
  }

  private failAll(error: unknown): void {
    const failure = failureOfSending(error);
    const reported = failureToSend(error, this.options.timeoutMs);
    for (const call of this.sent) if (!call.isSettled) this.failOrRetry(call, failure, 0, reported);
  }

  private failOrRetry(
    call: Call,
    failure: Failure | undefined,
    retryAfterMs: number,
    error: CacheError,
  ): void {
    const { nowMs, random } = this.options;
    const { method, attempts } = call;
    const delayMs = failure && retryDelayMs(method, failure, attempts, retryAfterMs, random());
    const isTooLate = delayMs === undefined || nowMs() + delayMs >= call.deadlineMs;
    if (call.isSettled || isTooLate || this.held.has(call.key) || this.hasLater(call)) {
      call.fail(error);
    } else {
      this.hold(call);
      setTimeout(() => this.release(call, true), delayMs);
    }
  }

  /** Whether a later call of the same key may have been carried out already: this one would then come after it. */
  private hasLater(call: Call): boolean {
    const { sent } = this;
    // Reads do not mind each other.
    const last = sent.findLastIndex(({ key, isRead }) => key === call.key && (!isRead || !call.isRead));
    return sent.lastIndexOf(call) < last;
  }

  /** Sends a call with a value that is too large for a batch. Only calls of its key wait for it. */
  private sendAlone(call: Call): void {
    const { transport } = this.options;
    call.attempts++;
    this.hold(call);
    try {
      const exchange = transport.send(requestAlone(call));
      this.waiting.set(call, exchange);
      exchange.reply.then(
        (reply) => {
          this.release(call, false);
          this.settleAlone(call, reply);
        },
        (error: unknown) => {
          this.release(call, false);
          this.failOrRetry(call, failureOfSending(error), 0, failureToSend(error, this.options.timeoutMs));
        },
      );
    } catch (error) {
      this.release(call, false);
      call.fail(error);
    }
  }

  /** Takes the answer to a call that was sent by itself. */
  private settleAlone(call: Call, reply: Reply): void {
    const { status, ttl, retryAfterMs, body } = reply;
    const error = status < 300 ? undefined : errorOf(reply);
    if (!error || error.code === 'CACHE_ERR_KEY_NOT_FOUND') {
      this.largeKeys.note(call, body.length);
      call.succeed(recordOf(status, ttl, body), body);
    } else {
      this.failOrRetry(call, failureOf(status, error.code), retryAfterMs, error);
    }
  }

  /** Keeps the later calls of its key until it is released. */
  private hold(call: Call): void {
    this.held.set(call.key, []);
    this.waiting.set(call, undefined);
  }

  private release(call: Call, isSentAgain: boolean): void {
    const behind = this.held.get(call.key) ?? [];
    this.waiting.delete(call);
    this.held.delete(call.key);
    // They were before all others of their key.
    this.queue = [...(isSentAgain ? [call] : []), ...behind, ...this.queue];
    if (this.queue.length > 0 && !this.isTurnBegun) this.beginTurn();
  }

  /** Calls of one lane have the same time, so the one that came first is over first. */
  private watch(call: Call): void {
    this.timer = setTimeout(() => this.endOverdue(), Math.max(1, call.deadlineMs - this.options.nowMs()));
    // A process whose calls are over may end; open ones have a connection that keeps it. In a browser it is a number.
    if (typeof this.timer === 'object') this.timer.unref();
  }

  private endOverdue(): void {
    this.timer = undefined;
    const { timeoutMs, nowMs } = this.options;
    const now = nowMs();
    const error = timeoutError(timeoutMs);
    let oldest: Call | undefined;
    for (const call of this.all()) {
      if (call.isSettled) continue;
      if (call.deadlineMs <= now) call.fail(error);
      else if (!oldest || call.deadlineMs < oldest.deadlineMs) oldest = call;
    }
    // Nobody waits for them any more, and others are behind them.
    if (this.sent.length > 0 && this.sent.every(({ isSettled }) => isSettled)) this.exchange?.abort(error);
    for (const [call, exchange] of this.waiting) if (call.isSettled) exchange?.abort(error);
    if (oldest) this.watch(oldest);
  }
}

function batchOf(body: Uint8Array<ArrayBuffer>): HttpRequest {
  return { method: 'POST', path: '/batch', contentType: BATCH_TYPE, body, isAside: false };
}

/** Whether a proxy answered, since the cache behind it did not. */
function isGatewayFailure(reply: Reply): boolean {
  return isGateway(reply.status) && errorOf(reply).code === 'CACHE_ERR_CLIENT_REPLY_INVALID';
}

function failureOfSending(error: unknown): Failure {
  return error instanceof ConnectionError && !error.mayHaveArrived ? 'not-sent' : 'unknown';
}

/** What a caller is given for what a transport threw. */
export function failureToSend(error: unknown, timeoutMs: number): CacheError {
  if (error instanceof CacheError) return error;
  if (error instanceof ConnectionError) {
    return new CacheError(
      'CACHE_ERR_CLIENT_CONNECTION',
      `No answer from the cache: ${error.message}`,
      0,
      error,
    );
  }
  if (error instanceof Error && error.name === 'TimeoutError') return timeoutError(timeoutMs);
  const message = error instanceof Error ? error.message : String(error);
  return new CacheError('CACHE_ERR_CLIENT_REPLY_INVALID', message, 0, error);
}

export function timeoutError(timeoutMs: number): CacheError {
  return new CacheError('CACHE_ERR_CLIENT_TIMEOUT', `The cache did not answer within ${timeoutMs} ms.`);
}

/** Of a batch's record: the code, a space, the message. */
function splitError(text: string): { code: CacheError['code']; message: string } {
  const space = text.indexOf(' ');
  return { code: text.slice(0, space) as CacheError['code'], message: text.slice(space + 1) };
}
