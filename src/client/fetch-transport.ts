import { ConnectionError, type HttpRequest, type Reply, type Transport, retryAfterMs } from './transport.ts';

/** For browsers, Deno and Bun. `fetch` does not say whether a request was sent before it failed. */
export class HttpTransport implements Transport {
  private readonly url: string;
  private readonly headers: Readonly<Record<string, string>>;

  constructor(url: URL, headers: Readonly<Record<string, string>>) {
    this.url = url.href.replace(/\/$/, '');
    this.headers = headers;
  }

  async send({ method, path, contentType, body, signal }: HttpRequest): Promise<Reply> {
    const headers =
      contentType === undefined ? this.headers : { ...this.headers, 'content-type': contentType };
    try {
      const response = await fetch(this.url + path, { method, headers, body: body ?? null, signal });
      return {
        status: response.status,
        retryAfterMs: retryAfterMs(response.headers.get('retry-after'), Date.now()),
        body: new Uint8Array(await response.arrayBuffer()),
      };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw new ConnectionError(error, true);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
