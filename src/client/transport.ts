/** One answer of the server. */
export interface Reply {
  readonly status: number;
  /** What `Retry-After` says, in ms; 0 without it. */
  readonly retryAfterMs: number;
  /** What `X-TTL` says, in seconds; 0 without it. */
  readonly ttl: number;
  readonly body: Uint8Array;
}

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly contentType?: string;
  readonly body?: Uint8Array<ArrayBuffer>;
  /** Whether it goes on another connection than batches, which then do not wait for it. */
  readonly isAside: boolean;
}

/** A request that is under way. */
export interface Exchange {
  /** Rejected with a ConnectionError, or with the reason of `abort`. */
  readonly reply: Promise<Reply>;
  readonly abort: (reason: Error) => void;
}

/** Sends HTTP requests on connections that are kept. */
export interface Transport {
  /** Whether a single read is quicker as a GET of its key than as a batch. */
  readonly isGetQuicker: boolean;
  send(request: HttpRequest): Exchange;
  close(): Promise<void>;
}

/** There was no whole answer. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Whether the server may have had the request. */
  readonly mayHaveArrived: boolean;

  constructor(cause: unknown, mayHaveArrived: boolean) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.mayHaveArrived = mayHaveArrived;
  }
}

/** @param header seconds, or a date: RFC 9110, section 10.2.3. */
export function retryAfterMs(header: string | undefined | null, nowMs: number): number {
  if (!header) return 0;
  const seconds = Number(header);
  const ms = Number.isNaN(seconds) ? Date.parse(header) - nowMs : seconds * 1000;
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}

/** The headers of one request: those of all, and the type of its body if it has one. */
export function headersOf(
  { contentType }: HttpRequest,
  all: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return contentType === undefined ? all : { ...all, 'content-type': contentType };
}
