import {
  type BatchRecord,
  type BatchRequest,
  DELETE,
  GET,
  HAS_TTL,
  HEAD,
  MAX_BATCH_REQUESTS,
  PUT,
} from '../api/batch-format.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { HttpTransport } from '#http-transport';
import { CacheError } from './errors.ts';
import { type Call, Lane, type LaneOptions, failureToSend } from './lane.ts';

export { CacheError } from './errors.ts';

export interface CacheClientOptions {
  /** `AUTH_TOKEN` of the server. */
  readonly token?: string;
  /** The most that any call takes, in ms, all attempts and waits included. 2,000. */
  readonly timeoutMs?: number;
  /** Connections, each with one batch in flight. 2. */
  readonly connections?: number;
  /** Whether what is asked in one turn leaves together. Yes. */
  readonly batching?: boolean;
  /**
   * What a call does when the cache cannot be reached or is overloaded: `throw` a CacheError, or go on as if the entry was
   * not there (`miss`); then writes do nothing. `throw`.
   */
  readonly onUnavailable?: 'throw' | 'miss';
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface SetOptions extends CallOptions {
  /** How long the entry lives. Without it, it does not expire. */
  readonly ttlMs?: number;
}

export interface WrapOptions {
  /** How long a loaded value is fresh. */
  readonly ttlMs: number;
  /** How much longer it is still given out, while a new one is loaded. 0. */
  readonly staleMs?: number;
}

export interface Entry extends SetOptions {
  readonly key: string;
  readonly value: string | Uint8Array;
}

interface Found {
  readonly text: string;
  /** Infinity for an entry that does not expire. */
  readonly leftMs: number;
}

const DEFAULT_TIMEOUT_MS = 2000;
const DEFAULT_CONNECTIONS = 2;
const MAX_BATCH_BYTES = 2 ** 20;
const NOT_FOUND = 404;

const decoder = new TextDecoder();
const nowMs = (): number => performance.now();

/**
 * A client of one key-value-cache.
 *
 * Calls for one key take effect in the order in which they were made. All methods reject with a `CacheError`: with the
 * code of the server's answer, or a `CACHE_ERR_CLIENT_…` when there was none.
 */
export class CacheClient {
  private readonly transport: HttpTransport;
  private readonly breaker = new CircuitBreaker(nowMs);
  private readonly lanes: readonly Lane[];
  private readonly timeoutMs: number;
  private readonly takesMisses: boolean;
  private readonly loads = new Map<string, Promise<unknown>>();
  private isClosed = false;

  /** @param url of the server, with a path prefix if there is one before it. */
  constructor(url: string | URL, options: CacheClientOptions = {}) {
    const {
      token,
      timeoutMs = DEFAULT_TIMEOUT_MS,
      connections = DEFAULT_CONNECTIONS,
      batching = true,
    } = options;
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.timeoutMs = timeoutMs;
    this.takesMisses = options.onUnavailable === 'miss';
    this.transport = new HttpTransport(new URL(url), headers, connections);
    const laneOptions: LaneOptions = {
      transport: this.transport,
      breaker: this.breaker,
      timeoutMs,
      maxBatchRequests: batching ? MAX_BATCH_REQUESTS : 1,
      maxBatchBytes: MAX_BATCH_BYTES,
      nowMs,
      random: Math.random,
      afterTurn,
    };
    this.lanes = Array.from({ length: connections }, () => new Lane(laneOptions));
  }

  /** @returns the value as text in UTF-8; undefined if there is no entry. */
  get(key: string, options?: CallOptions): Promise<string | undefined> {
    return this.call({ method: GET, key }, readText, options);
  }

  /** @returns the value as it was stored; undefined if there is no entry. */
  getBytes(key: string, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.call({ method: GET, key }, readBytes, options);
  }

  /** @throws SyntaxError if the value is not JSON. */
  async getJson<T>(key: string, options?: CallOptions): Promise<T | undefined> {
    const text = await this.get(key, options);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  async set(key: string, value: string | Uint8Array, options: SetOptions = {}): Promise<void> {
    const { ttlMs } = options;
    await this.call(
      ttlMs === undefined ? { method: PUT, key, value } : { method: PUT, key, value, ttl: ttlMs / 1000 },
      readNothing,
      options,
    );
  }

  setJson(key: string, value: unknown, options?: SetOptions): Promise<void> {
    return this.set(key, JSON.stringify(value), options);
  }

  /** @returns whether there was an entry. */
  async delete(key: string, options?: CallOptions): Promise<boolean> {
    return (await this.call({ method: DELETE, key }, readTrue, options)) ?? false;
  }

  async has(key: string, options?: CallOptions): Promise<boolean> {
    return (await this.call({ method: HEAD, key }, readTrue, options)) ?? false;
  }

  /** @returns the values in the order of the keys. */
  getMany(keys: readonly string[], options?: CallOptions): Promise<(string | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  /** Rejects when one of them could not be stored; the others are stored all the same. */
  async setMany(entries: readonly Entry[], options?: CallOptions): Promise<void> {
    await Promise.all(entries.map(({ key, value, ...own }) => this.set(key, value, { ...options, ...own })));
  }

  /** @returns for each key whether there was an entry. */
  deleteMany(keys: readonly string[], options?: CallOptions): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.delete(key, options)));
  }

  /** Removes all entries, of whatever client. @returns how many there were. */
  async clear(options?: CallOptions): Promise<number> {
    const { removed } = await this.ask<{ removed: number }>('DELETE', '/cache', options);
    return removed;
  }

  /** What `GET /stats` tells. */
  stats(options?: CallOptions): Promise<Record<string, unknown>> {
    return this.ask('GET', '/stats', options);
  }

  /**
   * The entry's value, or what `load` gives, which is then stored as JSON. In this process one load runs at a time for a
   * key; whoever asks meanwhile gets its result. A stale value is given out at once, and loaded anew behind.
   *
   * @throws what `load` throws.
   */
  async wrap<T>(key: string, options: WrapOptions, load: () => Promise<T> | T): Promise<T> {
    const running = this.loads.get(key);
    if (running) return running as Promise<T>;
    const { staleMs = 0 } = options;
    const found = await this.call({ method: GET, key }, readFound);
    if (found === undefined) return this.load(key, options, load);
    // A failed load is tried again by the next call; until it expires the stale value is what there is.
    if (found.leftMs <= staleMs) this.load(key, options, load).catch(() => undefined);
    return JSON.parse(found.text) as T;
  }

  /** Ends the connections. Calls that have no answer yet are rejected. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const lane of this.lanes) lane.close(closedError());
    await this.transport.close();
  }

  private load<T>(key: string, options: WrapOptions, load: () => Promise<T> | T): Promise<T> {
    const running = this.loads.get(key);
    if (running) return running as Promise<T>;
    const loading = this.loadAndStore(key, options, load).finally(() => this.loads.delete(key));
    this.loads.set(key, loading);
    return loading;
  }

  private async loadAndStore<T>(
    key: string,
    { ttlMs, staleMs = 0 }: WrapOptions,
    load: () => Promise<T> | T,
  ): Promise<T> {
    const value = await load();
    // The caller wants the value, whether or not the cache can keep it.
    await this.setJson(key, value, { ttlMs: ttlMs + staleMs }).catch(() => undefined);
    return value;
  }

  /** @param read must not throw: the other calls of the batch would fail with it. */
  private call<T>(
    request: BatchRequest,
    read: (record: BatchRecord, bytes: Uint8Array) => T,
    { signal }: CallOptions = {},
  ): Promise<T | undefined> {
    if (this.isClosed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.breaker.allows) return this.unavailable(circuitOpenError());
    return new Promise((resolve, reject) => {
      const call: Call = {
        request,
        resolve: (record, bytes) => {
          signal?.removeEventListener('abort', abort);
          resolve(record.status === NOT_FOUND ? undefined : read(record, bytes));
        },
        reject: (reason) => {
          signal?.removeEventListener('abort', abort);
          if (this.takesMisses && reason instanceof CacheError && reason.isUnavailable) resolve(undefined);
          else reject(reason);
        },
        deadlineMs: nowMs() + this.timeoutMs,
        attempts: 0,
        isSettled: false,
      };
      const abort = (): void => {
        call.isSettled = true;
        reject(signal!.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.lanes[laneOf(request.key, this.lanes.length)].add(call);
    });
  }

  private unavailable(reason: CacheError): Promise<undefined> {
    return this.takesMisses ? Promise.resolve(undefined) : Promise.reject(reason);
  }

  private async ask<T>(method: 'GET' | 'DELETE', path: string, { signal }: CallOptions = {}): Promise<T> {
    if (this.isClosed) throw closedError();
    const timeout = AbortSignal.timeout(this.timeoutMs);
    const reply = await this.transport
      .send({ method, path, signal: signal ? AbortSignal.any([signal, timeout]) : timeout })
      .catch((error: unknown) => {
        if (signal?.aborted) throw signal.reason;
        throw failureToSend(error, this.timeoutMs);
      });
    const body = JSON.parse(decoder.decode(reply.body));
    if (reply.status !== 200) throw new CacheError(body.code, body.message, reply.status);
    return body;
  }
}

/** Reads of one turn of the event loop are all there when its microtasks have run. */
function afterTurn(callback: () => void): void {
  if (typeof setImmediate === 'function') setImmediate(callback);
  else setTimeout(callback, 0);
}

/** Calls of one key use one lane. FNV-1a. */
function laneOf(key: string, lanes: number): number {
  if (lanes === 1) return 0;
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % lanes;
}

function readText({ valueStart, valueEnd }: BatchRecord, bytes: Uint8Array): string {
  return decoder.decode(bytes.subarray(valueStart, valueEnd));
}

/** In memory of its own: the answer may hold a thousand values. */
function readBytes({ valueStart, valueEnd }: BatchRecord, bytes: Uint8Array): Uint8Array {
  return bytes.slice(valueStart, valueEnd);
}

function readFound(record: BatchRecord, bytes: Uint8Array): Found {
  const leftMs = (record.flags & HAS_TTL) === 0 ? Infinity : record.ttl * 1000;
  return { text: readText(record, bytes), leftMs };
}

function readNothing(): undefined {
  return undefined;
}

function readTrue(): true {
  return true;
}

function closedError(): CacheError {
  return new CacheError('CACHE_ERR_CLIENT_CLOSED', 'The client has been closed.');
}

function circuitOpenError(): CacheError {
  return new CacheError(
    'CACHE_ERR_CLIENT_CIRCUIT_OPEN',
    'The cache has not answered lately; it is not asked for a moment.',
  );
}
