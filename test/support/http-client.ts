import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { expect } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import type { CutOff, Refusal } from '../../src/metrics/refusals.ts';

export interface Call {
  readonly method?: string;
  /** As it goes on the wire: nothing is encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** The client's own address; the system chooses it when absent. */
  readonly localAddress?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
}

/** An HTTP client that adds nothing of its own: what it sends and gets is what was on the wire. */
export class HttpClient {
  private readonly port: number;
  private readonly host: string;
  private readonly agent: Agent;
  private readonly protocol: 'http:' | 'https:';

  /** @param ca the authority of the server's certificate, for HTTPS. */
  constructor(port: number, ca?: string, host = '127.0.0.1') {
    this.port = port;
    this.host = host;
    this.protocol = ca === undefined ? 'http:' : 'https:';
    this.agent = ca === undefined ? new Agent({ keepAlive: true }) : new SecureAgent({ keepAlive: true, ca });
  }

  call({ method = 'GET', path, headers = {}, body, localAddress }: Call): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          protocol: this.protocol,
          host: this.host,
          port: this.port,
          localAddress,
          agent: this.agent,
          method,
          path,
          headers: { ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const bytes = Buffer.concat(chunks);
            const { statusCode, headers: received } = response;
            resolve({ status: statusCode!, headers: received, bytes, text: bytes.toString('latin1') });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call({ path, headers });
  }

  /** Sends `body` as JSON, as it is when it is a string. */
  send(method: string, path: string, body: unknown): Promise<Answer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.call({ method, path, headers: { 'content-type': 'application/json' }, body: text });
  }

  put(key: string, value: string, ttl?: number): Promise<Answer> {
    return this.send('PUT', '/cache', { key, value, ttl });
  }

  async stats(): Promise<Stats> {
    return JSON.parse((await this.get('/stats')).text) as Stats;
  }

  close(): void {
    this.agent.destroy();
  }
}

export type CountName =
  | 'entries'
  | 'liveBytes'
  | 'reservedBytes'
  | 'hits'
  | 'misses'
  | 'puts'
  | 'deletes'
  | 'cleared'
  | 'evicted'
  | 'evictedUnread'
  | 'oldestAgeSeconds'
  | 'expired'
  | 'shedOrders'
  | 'shedEntries'
  | 'shedBytes'
  | 'restarts'
  | 'inFlight'
  | 'busyRejections';
export type Counts = Readonly<Record<CountName, number>>;

/** What clients may rely on in `/stats`. */
export interface Stats {
  readonly status: 'OK';
  readonly version: string;
  readonly uptimeSeconds: number;
  readonly totals: Counts;
  readonly shards: readonly (Counts & { readonly shard: number; readonly state: string })[];
  readonly memory: {
    readonly limitBytes: number;
    readonly limitSource: string;
    readonly residentBytes: number;
    readonly usedBytes: number;
    readonly usedShare: number;
    readonly threshold: number;
    readonly heldBytes: number;
    readonly lastOrder: object | null;
  };
  readonly connections: Readonly<Record<'open' | 'waiting' | 'limit', number>>;
  readonly refusals: Readonly<Record<Refusal, number>>;
  readonly cutOffs: Readonly<Record<CutOff, number>>;
  readonly configuration: Readonly<Record<string, unknown>>;
}

/** A key's path in the family of `/cache` paths. */
export function cachePath(key: string): string {
  return `/cache/${encodeURIComponent(key)}`;
}

/** A key's path in the short family. */
export function shortPath(key: string): string {
  return `/get?key=${encodeURIComponent(key)}`;
}

/** Checks that an answer is one of the documented errors, whole: status, code, shape, message. */
export function expectError(answer: Answer, status: number, code: ErrorCode, message: RegExp = /./): void {
  expect({ status: answer.status, text: answer.text }).toEqual({ status, text: expect.any(String) });
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  const body = JSON.parse(answer.text) as object;
  expect(body).toStrictEqual({ status: 'ERROR', code, message: expect.stringMatching(message) });
  if (status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
}
