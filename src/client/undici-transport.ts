import { type Dispatcher, Pool, errors } from 'undici';
import type { TextCodec } from '../api/batch-format.ts';
import {
  ConnectionError,
  type Exchange,
  type HttpRequest,
  type Reply,
  type Transport,
  headersOf,
  retryAfterMs,
} from './transport.ts';

/** In these nothing was sent. */
const NOT_CONNECTED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);
/** For what is no batch: large values make batches wait for nothing. */
const OTHER_CONNECTIONS = 2;

/** Without undici's own timers for answers: each call has its deadline. */
const POOL_OPTIONS = { pipelining: 1, headersTimeout: 0, bodyTimeout: 0 };

/** Several times as quick with short texts as encoder and decoder. All bytes here are in a `Buffer`. */
export const TEXT_CODEC: TextCodec = {
  allocate: (bytes) => Buffer.allocUnsafe(bytes),
  write: (bytes, at, text) => (bytes as Buffer).write(text, at),
  read: (bytes, start, end) => (bytes as Buffer).toString('utf8', start, end),
};

/** For Node: several times as quick as `fetch`. */
export class HttpTransport implements Transport {
  readonly isGetQuicker = true;
  private readonly batches: Pool;
  private readonly others: Pool;
  private readonly prefix: string;
  private readonly headers: Readonly<Record<string, string>>;

  constructor(url: URL, headers: Readonly<Record<string, string>>, connections: number) {
    this.batches = new Pool(url.origin, { ...POOL_OPTIONS, connections });
    this.others = new Pool(url.origin, { ...POOL_OPTIONS, connections: OTHER_CONNECTIONS });
    this.prefix = url.pathname.replace(/\/$/, '');
    // A cache on the way must not answer in the place of this one.
    this.headers = { ...headers, 'cache-control': 'no-cache' };
  }

  send(request: HttpRequest): Exchange {
    const { method, path, body, isAside } = request;
    const headers = headersOf(request, this.headers);
    const exchange = new UndiciExchange();
    const pool = isAside ? this.others : this.batches;
    pool.dispatch({ method, path: this.prefix + path, headers, body: body ?? null }, exchange);
    return exchange;
  }

  async close(): Promise<void> {
    await Promise.all([this.batches.destroy(), this.others.destroy()]);
  }
}

/** Gathers an answer. `dispatch` costs half of what `request` does, which makes a stream of each body. */
class UndiciExchange implements Exchange, Dispatcher.DispatchHandler {
  readonly reply: Promise<Reply>;
  private readonly chunks: Buffer[] = [];
  private resolve!: (reply: Reply) => void;
  private reject!: (error: Error) => void;
  private controller: Dispatcher.DispatchController | undefined;
  private reason: Error | undefined;
  private status = 0;
  private retryAfterMs = 0;
  private ttl = 0;

  constructor() {
    this.reply = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  abort(reason: Error): void {
    this.reason = reason;
    this.reject(reason);
    this.controller?.abort(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.reason) controller.abort(this.reason);
  }

  onResponseStart(
    _controller: unknown,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    this.status = status;
    const { 'retry-after': retryAfter, 'x-ttl': ttl } = headers;
    if (retryAfter !== undefined) this.retryAfterMs = retryAfterMs(String(retryAfter), Date.now());
    if (ttl !== undefined) this.ttl = Number(ttl);
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    this.chunks.push(chunk);
  }

  onResponseEnd(): void {
    const { status, retryAfterMs: afterMs, ttl, chunks } = this;
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    this.resolve({ status, retryAfterMs: afterMs, ttl, body });
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.reject(new ConnectionError(error, !isNotConnected(error)));
  }
}

function isNotConnected(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.every(isNotConnected);
  if (error instanceof errors.ConnectTimeoutError) return true;
  return error instanceof Error && 'code' in error && NOT_CONNECTED.has(String(error.code));
}
