import { DELETE, GET, HEAD, MAX_BATCH_REQUESTS, PUT } from '../api/batch-format.ts';
import { HttpTransport } from '#http-transport';
import { MAX_BATCH_BYTES } from './batch-limits.ts';
import { BYTES, Call, type CallRequest, DONE, FOUND, type Reading, TEXT, WAS_THERE } from './call.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { type CacheClientOptions, checkedOptions, checkedUrl } from './client-options.ts';
import { CacheError } from './errors.ts';
import { type KeyPage, listKeys } from './key-listing.ts';
import { Lane, type LaneOptions, failureToSend, timeoutError } from './lane.ts';
import { errorOf, jsonOf } from './replies.ts';

export type { CacheClientOptions } from './client-options.ts';
export { CacheError } from './errors.ts';

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

const nowMs = (): number => performance.now();

/**
 * A client of one key-value-cache.
 *
 * Calls for one key take effect in the order in which they were made. All methods reject with a `CacheError`: with the
 * code of the server's answer, or a `CACHE_ERR_CLIENT_…` when there was none. Only an argument of a wrong type is a
 * `TypeError`.
 */
export class CacheClient {
  private readonly transport: HttpTransport;
  private readonly breaker = new CircuitBreaker(nowMs);
  private readonly lanes: readonly Lane[];
  private readonly timeoutMs: number;
  private readonly takesMisses: boolean;
  private readonly loads = new Map<string, Promise<unknown>>();
  private isClosed = false;

  /**
   * @param url of the server, with a path prefix if there is one before it.
   * @throws TypeError or RangeError if the URL or an option is not valid.
   */
  constructor(url: string | URL, options: CacheClientOptions = {}) {
    const { token, timeoutMs, connections, batching, onUnavailable } = checkedOptions(options);
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.timeoutMs = timeoutMs;
    this.takesMisses = onUnavailable === 'miss';
    this.transport = new HttpTransport(checkedUrl(url), headers, connections);
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
    return this.call({ method: GET, key }, TEXT, options?.signal);
  }

  /** @returns the value as it was stored; undefined if there is no entry. */
  getBytes(key: string, options?: CallOptions): Promise<Uint8Array | undefined> {
    return this.call({ method: GET, key }, BYTES, options?.signal);
  }

  /** @throws SyntaxError if the value is not JSON. */
  async getJson<T>(key: string, options?: CallOptions): Promise<T | undefined> {
    const text = await this.get(key, options);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  set(key: string, value: string | Uint8Array, options?: SetOptions): Promise<void> {
    if (typeof value !== 'string' && !isBytes(value)) return Promise.reject(wrongType('A value', value));
    const ttlMs = options?.ttlMs;
    const ttl = ttlMs === undefined ? undefined : ttlMs / 1000;
    return this.call({ method: PUT, key, value, ttl }, DONE, options?.signal);
  }

  /** Rejects with a TypeError if there is no JSON of the value: `undefined`, a function, a circle. */
  async setJson(key: string, value: unknown, options?: SetOptions): Promise<void> {
    await this.set(key, JSON.stringify(value), options);
  }

  /** @returns whether there was an entry. */
  delete(key: string, options?: CallOptions): Promise<boolean> {
    return this.call({ method: DELETE, key }, WAS_THERE, options?.signal);
  }

  has(key: string, options?: CallOptions): Promise<boolean> {
    return this.call({ method: HEAD, key }, WAS_THERE, options?.signal);
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

  /**
   * The keys that begin with `prefix`, a page at a time, in no order. One that is there from beginning to end comes at
   * least once. The server looks at all its entries for that, in slices.
   */
  keys(prefix = '', options?: CallOptions): AsyncGenerator<readonly string[], void, void> {
    const ask = (path: string, leftMs: number): Promise<KeyPage> => this.ask('GET', path, options, leftMs);
    return listKeys(prefix, ask, this.timeoutMs);
  }

  /** What `GET /stats` tells. */
  stats(options?: CallOptions): Promise<Record<string, unknown>> {
    return this.ask('GET', '/stats', options);
  }

  /**
   * The entry's value, or what `load` gives, which is then stored as JSON, while the caller goes on. In this process one
   * load runs at a time for a key; whoever asks meanwhile gets its result. A stale value is given out at once, and loaded
   * anew behind.
   *
   * @throws what `load` throws.
   */
  async wrap<T>(key: string, options: WrapOptions, load: () => Promise<T> | T): Promise<T> {
    const running = this.loads.get(key);
    if (running) return running as Promise<T>;
    const { staleMs = 0 } = options;
    const found = await this.call({ method: GET, key }, FOUND);
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
    // The caller wants the value, whether or not the cache can keep it, and does not wait for that. Later calls of this key
    // are behind it. There is no JSON of undefined.
    if (value !== undefined) this.setJson(key, value, { ttlMs: ttlMs + staleMs }).catch(() => undefined);
    return value;
  }

  private call<T>(request: CallRequest, reading: Reading<T>, signal?: AbortSignal): Promise<T> {
    if (typeof request.key !== 'string') return Promise.reject(wrongType('A key', request.key));
    if (this.isClosed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.breaker.allows) {
      return this.takesMisses ? Promise.resolve(reading.missing) : Promise.reject(circuitOpenError());
    }
    const call = new Call(request, reading, this.takesMisses);
    const answer = call.begin(signal) as Promise<T>;
    this.lanes[laneOf(request.key, this.lanes.length)].add(call);
    return answer;
  }

  private async ask<T>(
    method: 'GET' | 'DELETE',
    path: string,
    { signal }: CallOptions = {},
    leftMs = this.timeoutMs,
  ): Promise<T> {
    if (this.isClosed) throw closedError();
    signal?.throwIfAborted();
    const exchange = this.transport.send({ method, path, isAside: true });
    const abort = (): void => exchange.abort(signal!.reason);
    signal?.addEventListener('abort', abort);
    const timer = setTimeout(() => exchange.abort(timeoutError(this.timeoutMs)), leftMs);
    const reply = await exchange.reply
      .catch((error: unknown) => {
        if (signal?.aborted) throw signal.reason;
        if (this.isClosed) throw closedError();
        throw failureToSend(error, this.timeoutMs);
      })
      .finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      });
    const body = reply.status === 200 ? jsonOf(reply) : undefined;
    if (body === undefined) throw errorOf(reply);
    return body as T;
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

/** Not by `instanceof`: test runners give a program classes of its own. */
function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && (value as Uint8Array).BYTES_PER_ELEMENT === 1;
}

function wrongType(what: string, value: unknown): TypeError {
  const types = what === 'A key' ? 'a string' : 'a string or a Uint8Array';
  return new TypeError(`${what} must be ${types}; this one is of type ${typeof value}.`);
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
