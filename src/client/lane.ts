import {
  BATCH_TYPE,
  BatchReader,
  type BatchRecord,
  type BatchRequest,
  BatchWriter,
  IS_ERROR,
} from '../api/batch-format.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import { CacheError } from './errors.ts';
import { type Failure, failureOf, retryDelayMs } from './retry-policy.ts';
import { ConnectionError, type Reply, type Transport } from './transport.ts';

/** One request of a batch, and who waits for its answer. */
export interface Call {
  readonly request: BatchRequest;
  /** Called once, unless `reject` is. The record is only good until it returns. */
  readonly resolve: (record: BatchRecord, bytes: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
  deadlineMs: number;
  attempts: number;
  isSettled: boolean;
}

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

/**
 * Sends the calls of some keys, in their order. What is asked in one turn of the event loop leaves together. While a batch
 * is in flight calls gather, so batches grow by themselves with the load.
 */
export class Lane {
  private readonly options: LaneOptions;
  private readonly writer = new BatchWriter();
  /** In the order in which they leave. */
  private queue: Call[] = [];
  /** The batch in flight; empty when there is none. */
  private sent: Call[] = [];
  private abort: AbortController | undefined;
  /** Calls behind one of the same key that is about to be tried again, by key. */
  private readonly held = new Map<string, Call[]>();
  private readonly waiting = new Set<Call>();
  private isScheduled = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LaneOptions) {
    this.options = options;
  }

  add(call: Call): void {
    const behind = this.held.size > 0 ? this.held.get(call.request.key) : undefined;
    if (behind) behind.push(call);
    else this.queue.push(call);
    this.watch(call);
    this.schedule();
  }

  /** Ends all calls. */
  close(error: CacheError): void {
    clearTimeout(this.timer);
    this.abort?.abort(error);
    for (const call of this.all()) settle(call, () => call.reject(error));
    this.queue = [];
    this.held.clear();
  }

  private *all(): Iterable<Call> {
    yield* this.sent;
    yield* this.waiting;
    yield* this.queue;
    for (const behind of this.held.values()) yield* behind;
  }

  private schedule(): void {
    if (this.isScheduled || this.sent.length > 0 || this.queue.length === 0) return;
    this.isScheduled = true;
    this.options.afterTurn(() => {
      this.isScheduled = false;
      if (this.sent.length === 0) void this.sendBatch();
    });
  }

  private async sendBatch(): Promise<void> {
    const body = this.takeBatch();
    if (this.sent.length === 0) return;
    const { transport, breaker } = this.options;
    breaker.begin();
    this.abort = new AbortController();
    try {
      const reply = await transport.send({
        method: 'POST',
        path: '/batch',
        contentType: BATCH_TYPE,
        body,
        signal: this.abort.signal,
      });
      breaker.succeed();
      this.receive(reply);
    } catch (error) {
      breaker.fail();
      this.failAll(error);
    }
    this.sent = [];
    this.schedule();
  }

  /** Moves calls from the queue to `sent`. @returns them as the body of a request. */
  private takeBatch(): Uint8Array<ArrayBuffer> {
    const { maxBatchRequests, maxBatchBytes } = this.options;
    let taken = 0;
    for (const call of this.queue) {
      if (this.sent.length >= maxBatchRequests || this.writer.byteLength >= maxBatchBytes) break;
      taken++;
      if (call.isSettled) continue;
      try {
        this.writer.add(call.request);
        call.attempts++;
        this.sent.push(call);
      } catch (error) {
        settle(call, () => call.reject(error));
      }
    }
    this.queue = taken === this.queue.length ? [] : this.queue.slice(taken);
    return this.writer.take();
  }

  private receive({ status, retryAfterMs, body }: Reply): void {
    if (status !== 200) {
      const { code, message } = errorIn(body);
      const failure = failureOf(status, code);
      const error = new CacheError(code, message, status);
      for (const call of this.sent) this.failOrRetry(call, failure, retryAfterMs, error);
      return;
    }
    const reader = new BatchReader(body);
    const calls = this.sent;
    for (let place = 0; place < calls.length; place++) {
      const record = reader.next();
      if (!record) throw new Error('The server answered fewer requests than were sent.');
      const call = calls[place];
      if ((record.flags & IS_ERROR) === 0) {
        settle(call, () => call.resolve(record, body));
        continue;
      }
      const { code, message } = splitError(body.subarray(record.valueStart, record.valueEnd));
      const failure = failureOf(record.status, code);
      this.failOrRetry(call, failure, 0, new CacheError(code, message, record.status));
    }
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
    const { request, attempts } = call;
    const delayMs = failure && retryDelayMs(request.method, failure, attempts, retryAfterMs, random());
    const isTooLate = delayMs === undefined || nowMs() + delayMs >= call.deadlineMs;
    // A later call of the same key may have been carried out already: this one would then come after it.
    if (call.isSettled || isTooLate || this.hasLater(call)) settle(call, () => call.reject(error));
    else this.retry(call, delayMs);
  }

  private hasLater(call: Call): boolean {
    const { key } = call.request;
    return (
      this.held.has(key) ||
      this.sent.lastIndexOf(call) < this.sent.findLastIndex((other) => other.request.key === key)
    );
  }

  private retry(call: Call, delayMs: number): void {
    const { key } = call.request;
    const behind = this.queue.filter((other) => other.request.key === key);
    this.queue = this.queue.filter((other) => other.request.key !== key);
    this.held.set(key, behind);
    this.waiting.add(call);
    setTimeout(() => {
      this.waiting.delete(call);
      this.held.delete(key);
      this.queue.push(call, ...behind);
      this.schedule();
    }, delayMs);
  }

  /** Calls of one lane have the same time, so the one that came first is over first. */
  private watch(call: Call): void {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => this.endOverdue(), Math.max(1, call.deadlineMs - this.options.nowMs()));
  }

  private endOverdue(): void {
    this.timer = undefined;
    const { timeoutMs, nowMs } = this.options;
    const now = nowMs();
    const error = timeoutError(timeoutMs);
    let oldest: Call | undefined;
    for (const call of this.all()) {
      if (call.isSettled) continue;
      if (call.deadlineMs <= now) settle(call, () => call.reject(error));
      else if (!oldest || call.deadlineMs < oldest.deadlineMs) oldest = call;
    }
    // Nobody waits for it any more, and others are behind it.
    if (this.sent.length > 0 && this.sent.every(({ isSettled }) => isSettled)) this.abort?.abort(error);
    if (oldest) this.watch(oldest);
  }
}

function settle(call: Call, deliver: () => void): void {
  if (call.isSettled) return;
  call.isSettled = true;
  deliver();
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

function timeoutError(timeoutMs: number): CacheError {
  return new CacheError('CACHE_ERR_CLIENT_TIMEOUT', `The cache did not answer within ${timeoutMs} ms.`);
}

/** Of a batch's record: the code, a space, the message. */
function splitError(bytes: Uint8Array): { code: CacheError['code']; message: string } {
  const text = new TextDecoder().decode(bytes);
  const space = text.indexOf(' ');
  return { code: text.slice(0, space) as CacheError['code'], message: text.slice(space + 1) };
}

function errorIn(body: Uint8Array): { code: CacheError['code']; message: string } {
  try {
    const { code, message } = JSON.parse(new TextDecoder().decode(body));
    if (typeof code === 'string' && typeof message === 'string')
      return { code: code as CacheError['code'], message };
  } catch {
    // Not from a cache: from a proxy before it, perhaps.
  }
  return { code: 'CACHE_ERR_CLIENT_REPLY_INVALID', message: 'The answer is not one of a key-value-cache.' };
}
