import type { SegmentCounters } from '../../workers/store/entry-table.ts';
import { type Metadata, NO_METADATA } from '../../workers/store/metadata.ts';

interface ReferenceEntry {
  readonly value: string;
  readonly expiryMs: number;
  readonly metadata: Metadata;
}

/**
 * What the segment store must do, said as plainly as it can be: a `Map` whose order is the order of use. It
 * knows no bytes; only its capacity displaces anything.
 */
export class ReferenceLru {
  readonly counters: SegmentCounters = {
    hits: 0,
    misses: 0,
    puts: 0,
    deleted: 0,
    cleared: 0,
    replaced: 0,
    expired: 0,
    evicted: 0,
    shed: 0,
  };
  /** Least recently used first. */
  private readonly map = new Map<string, ReferenceEntry>();
  private readonly now: () => number;
  private readonly capacity: number;

  constructor(now: () => number, capacity = Infinity) {
    this.now = now;
    this.capacity = capacity;
  }

  get entries(): number {
    return this.map.size;
  }

  /** Least recently used first, expired ones included. */
  get keys(): string[] {
    return [...this.map.keys()];
  }

  get(key: string): string | undefined {
    const entry = this.map.get(key);
    if (!entry || this.removeIfExpired(key)) {
      this.counters.misses++;
      return undefined;
    }
    this.counters.hits++;
    this.map.delete(key);
    this.map.set(key, entry);
    return entry.value;
  }

  /** The value, without a use of it being counted. */
  peek(key: string): string | undefined {
    return this.isExpired(key) ? undefined : this.map.get(key)?.value;
  }

  /** What was put with the value, without a use of it being counted. */
  metadata(key: string): Metadata | undefined {
    return this.isExpired(key) ? undefined : this.map.get(key)?.metadata;
  }

  put(key: string, value: string, ttlMs: number, metadata = NO_METADATA): boolean {
    this.counters.puts++;
    if (this.map.has(key)) {
      this.counters[this.isExpired(key) ? 'expired' : 'replaced']++;
      this.map.delete(key);
    }
    if (this.map.size >= this.capacity) this.removeExpired();
    if (this.map.size >= this.capacity) this.removeLeastRecent('evicted');
    const expiryMs = ttlMs > 0 ? Math.ceil(this.now() + ttlMs) : Infinity;
    this.map.set(key, { value, expiryMs, metadata });
    return true;
  }

  delete(key: string): boolean {
    if (!this.map.has(key) || this.removeIfExpired(key)) return false;
    this.counters.deleted++;
    return this.map.delete(key);
  }

  clear(): number {
    const removed = this.map.size;
    this.counters.cleared += removed;
    this.map.clear();
    return removed;
  }

  /** @returns 0 when there was none. */
  removeLeastRecent(reason: 'evicted' | 'shed'): number {
    const [key] = this.map.keys();
    if (key === undefined) return 0;
    this.counters[this.isExpired(key) ? 'expired' : reason]++;
    this.map.delete(key);
    return 1;
  }

  /** Removes every entry that has expired, as maintenance does in time. */
  removeExpired(): void {
    for (const key of this.map.keys()) this.removeIfExpired(key);
  }

  isExpired(key: string): boolean {
    return (this.map.get(key)?.expiryMs ?? Infinity) <= this.now();
  }

  private removeIfExpired(key: string): boolean {
    if (!this.isExpired(key)) return false;
    this.counters.expired++;
    this.map.delete(key);
    return true;
  }
}
