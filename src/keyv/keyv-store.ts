import { CacheClient, type CacheClientOptions } from '../client/cache-client.ts';
import { KeyNames } from './key-names.ts';

/** What Keyv gives `setMany`. */
export interface KeyvEntry {
  readonly key: string;
  readonly value: unknown;
  /** In ms. */
  readonly ttl?: number | undefined;
}

/**
 * A store for Keyv 5 and 6, and so for what is built on it: cache-manager, cacheable and others.
 *
 * Each Keyv has a store of its own, since it gives the store its namespace. Stores may share a client. Every error rejects
 * the call that met it.
 */
export class KeyvStore {
  readonly client: CacheClient;
  /** Keyv 5 asks here which stores have an iterator, and knows only those of its own authors. */
  readonly opts: { readonly url: string; readonly dialect: 'redis' };

  private readonly ownsClient: boolean;
  private names = new KeyNames('');
  private ownNamespace: string | undefined;

  /** @param cache the URL of the server, or a client. */
  constructor(cache: string | URL | CacheClient, options?: CacheClientOptions) {
    this.ownsClient = !(cache instanceof CacheClient);
    this.client = cache instanceof CacheClient ? cache : new CacheClient(cache, options);
    this.opts = { url: cache instanceof CacheClient ? '' : String(cache), dialect: 'redis' };
  }

  get namespace(): string | undefined {
    return this.ownNamespace;
  }

  /** Keyv sets it. */
  set namespace(namespace: string | undefined) {
    this.ownNamespace = namespace;
    this.names = new KeyNames(namespace ?? '');
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    return (await this.client.get(this.names.nameOf(key))) as Value | undefined;
  }

  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    const values = await this.client.getMany(keys.map((key) => this.names.nameOf(key)));
    return values as (Value | undefined)[];
  }

  /** @param ttl in ms. One that is over already removes the entry. */
  async set(key: string, value: unknown, ttl?: number): Promise<true> {
    const name = this.names.nameOf(key);
    if (ttl !== undefined && ttl <= 0) await this.client.delete(name);
    else await this.client.set(name, textOf(value), ttl === undefined ? {} : { ttlMs: ttl });
    return true;
  }

  /** @returns that each is stored, as `boolean[]`: Keyv 5 passes it on. */
  // oxlint-disable-next-line typescript/no-explicit-any -- Keyv 5's type of a store says void here, Keyv 6's boolean[].
  setMany(entries: readonly KeyvEntry[]): Promise<any> {
    return Promise.all(entries.map(({ key, value, ttl }) => this.set(key, value, ttl)));
  }

  delete(key: string): Promise<boolean> {
    return this.client.delete(this.names.nameOf(key));
  }

  /** @returns whether all of them were there. */
  async deleteMany(keys: string[]): Promise<boolean> {
    const deleted = await this.client.deleteMany(keys.map((key) => this.names.nameOf(key)));
    return deleted.every(Boolean);
  }

  has(key: string): Promise<boolean> {
    return this.client.has(this.names.nameOf(key));
  }

  hasMany(keys: string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.has(key)));
  }

  /** Removes the entries of the namespace that are there by now: finds them by a listing, and deletes them. */
  async clear(): Promise<void> {
    for await (const names of this.client.keys(this.names.prefix)) await this.client.deleteMany(names);
  }

  /** The entries of the namespace, in no order. @param namespace by default that of the store. */
  async *iterator<Value>(namespace = this.ownNamespace): AsyncGenerator<[string, Value], void> {
    const names = new KeyNames(namespace ?? '');
    for await (const page of this.client.keys(names.prefix)) {
      const values = await this.client.getMany(page);
      for (const [place, name] of page.entries()) {
        const value = values[place];
        // It has gone since it was listed.
        if (value !== undefined) yield [names.keyOf(name), value as Value];
      }
    }
  }

  /** Closes the client, unless it was given one. */
  async disconnect(): Promise<void> {
    if (this.ownsClient) await this.client.close();
  }

  /** Keyv listens for errors. There are none beside those that reject a call. */
  on(_event: string, _listener: (...args: unknown[]) => void): this {
    return this;
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new TypeError(
    `The store keeps what Keyv's serializer makes, which is text; this is of type ${typeof value}.`,
  );
}
