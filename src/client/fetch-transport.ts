import { type TextCodec, WEB_CODEC } from '../api/batch-format.ts';
import {
  ConnectionError,
  type Exchange,
  type HttpRequest,
  type Reply,
  type Transport,
  headersOf,
  retryAfterMs,
} from './transport.ts';

export const TEXT_CODEC: TextCodec = WEB_CODEC;

/** For browsers, Deno and Bun. `fetch` does not say whether a request was sent before it failed. */
export class HttpTransport implements Transport {
  /** A browser asks the server for leave once for each URL, and reports each 404 on its console. */
  readonly isGetQuicker = false;
  private readonly url: string;
  private readonly headers: Readonly<Record<string, string>>;

  constructor(url: URL, headers: Readonly<Record<string, string>>) {
    this.url = url.href.replace(/\/$/, '');
    this.headers = headers;
  }

  send(request: HttpRequest): Exchange {
    const abort = new AbortController();
    return { reply: this.fetch(request, abort.signal), abort: (reason) => abort.abort(reason) };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private async fetch(request: HttpRequest, signal: AbortSignal): Promise<Reply> {
    const { method, path, body } = request;
    const headers = headersOf(request, this.headers);
    try {
      // A browser may have kept an answer, for as long as its entry lived then.
      const options = { method, headers, body: body ?? null, signal, cache: 'no-store' } as const;
      const response = await fetch(this.url + path, options);
      return {
        status: response.status,
        retryAfterMs: retryAfterMs(response.headers.get('retry-after'), Date.now()),
        ttl: Number(response.headers.get('x-ttl') ?? 0),
        body: new Uint8Array(await response.arrayBuffer()),
      };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw new ConnectionError(error, true);
    }
  }
}
