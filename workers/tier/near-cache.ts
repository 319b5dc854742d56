import { isAscii } from 'node:buffer';
import {
  CREATED,
  DELETED,
  MISS,
  PRECONDITION_FAILED,
  REPLACED,
  TIER_UNAVAILABLE,
  TOO_LARGE,
} from '../../src/shared/protocol.ts';
import type { Conditions, EntryTexts } from '../../src/shared/raw-entries.ts';
import { TagBuilder } from '../reads/entity-tag.ts';
import type { Reads } from '../reads/reads.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';
import type { Entries, FetchedEntry } from './entries.ts';
import { KeyLines, type Placeholder, type Reader } from './key-lines.ts';
import { type EntryRecord, encodeRecord } from './record.ts';

export interface NearCacheOptions {
  readonly entries: Entries;
  readonly store: SegmentStore;
  readonly reads: Reads;
  readonly whenUnavailable: '503' | 'miss';
  /** After which the HTTP thread has given a request up. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
}

/** What an entry is to be stored with. */
export interface Write {
  readonly texts: EntryTexts;
  readonly ttlMs: number;
  readonly conditions: Conditions;
}

/** Called once, with the code of the reply, and the tag of what was stored. */
export type Done = (code: number, tag: string) => void;

/** Requests that may wait for the engine, and the bytes of the values among them. */
const MAX_WAITING = 4096;
const MAX_WAITING_BYTES = 8 * 2 ** 20;
/** A copy is asked for again after this long, whatever was announced meanwhile. */
const MAX_COPY_MS = 10 * 60_000;

/** The entries of the engine, of which the store holds copies as long as nobody has changed them there: see ADR 70. */
export class NearCache {
  readonly counts = { hits: 0, misses: 0, fetches: 0, writes: 0, failures: 0, invalidations: 0, flushes: 0 };
  /** What clients have done: the store counts copies. */
  readonly clients = { puts: 0, deletes: 0 };
  flushedEntries = 0;

  private readonly options: NearCacheOptions;
  private readonly lines: KeyLines;

  constructor(options: NearCacheOptions) {
    this.options = options;
    this.lines = new KeyLines(options.nowMs);
  }

  /** True while requests wait for the engine. */
  get isBusy(): boolean {
    return this.lines.size > 0;
  }

  /** Whether one more request may wait. @param bytes of the value to be written. */
  hasRoomFor(bytes: number): boolean {
    const { waiting, bytes: waitingBytes } = this.lines;
    if (waiting >= MAX_WAITING) return false;
    return bytes === 0 || waitingBytes === 0 || waitingBytes + bytes <= MAX_WAITING_BYTES;
  }

  /** Asks for an entry that has no copy. */
  get(key: string, reader: Reader): void {
    this.lines.addRead(key, reader, (readers, placeholder) => this.fetch(key, readers, placeholder));
  }

  /** Stores an entry, if its conditions are met. The value may be freed when this has returned. */
  put(key: string, value: Uint8Array, { texts, ttlMs, conditions }: Write, done: Done): void {
    const valueBytes = value.length;
    // Not the tag that shards derive, which is another one in another process.
    const tag = new TagBuilder().add(value).finish(texts);
    const isText = isAscii(value);
    const record = encodeRecord({ ...texts, tag, isText, value });
    this.carryOut(
      key,
      record.length,
      done,
      async (placeholder) => {
        const { entries, nowMs } = this.options;
        const sentAtMs = nowMs();
        this.dropCopy(key);
        const outcome = await entries.put(key, record, ttlMs, conditions);
        if (outcome === 'not met') return PRECONDITION_FAILED;
        this.clients.puts++;
        const leftMs = leftOf(ttlMs, sentAtMs, nowMs());
        const kept = { ...texts, tag, isText, value: record.subarray(record.length - valueBytes) };
        if (placeholder.mayCopy && leftMs >= 0) this.keepCopy(key, kept, leftMs);
        return outcome === 'new' ? CREATED : REPLACED;
      },
      tag,
    );
  }

  delete(key: string, conditions: Conditions, done: Done): void {
    this.carryOut(key, 0, done, async () => {
      this.dropCopy(key);
      const outcome = await this.options.entries.delete(key, conditions);
      if (outcome === 'not met') return PRECONDITION_FAILED;
      if (outcome === 'new') return MISS;
      this.clients.deletes++;
      return DELETED;
    });
  }

  /** Somebody else has changed the entry of a key; null: any may have changed. */
  invalidate(key: string | null): void {
    if (key === null) {
      this.flush();
      return;
    }
    this.counts.invalidations++;
    this.lines.forbidCopy(key);
    this.dropCopy(key);
  }

  /** Begins a new epoch: no copy is used any more, nor are answers under way kept. */
  flush(): void {
    const { reads, store } = this.options;
    this.lines.forbidCopies();
    reads.settle();
    this.flushedEntries += store.clear();
    this.counts.flushes++;
  }

  /** Gives up requests that have waited in vain for their turn. To be called many times per deadline. */
  expire(): void {
    this.lines.expire(this.options.nowMs() - this.options.deadlineMs);
  }

  /** Carries out a write when the requests of its key before it have been. */
  private carryOut(
    key: string,
    bytes: number,
    done: Done,
    perform: (placeholder: Placeholder) => Promise<number>,
    tag = '',
  ): void {
    // From now on nobody reads the old entry here: reads wait for this write.
    this.dropCopy(key);
    const fail = (): void => {
      this.counts.failures++;
      done(TIER_UNAVAILABLE, '');
    };
    this.lines.addWrite(key, bytes, fail, async (placeholder) => {
      let code: number;
      try {
        code = await perform(placeholder);
      } catch {
        // Nobody knows whether the engine has carried it out.
        this.dropCopy(key);
        fail();
        return;
      }
      this.counts.writes++;
      done(code, tag);
    });
  }

  private async fetch(key: string, readers: readonly Reader[], placeholder: Placeholder): Promise<void> {
    const { entries, store, nowMs, whenUnavailable } = this.options;
    // The write before it may have left one.
    if (store.peek(key) !== NO_SLOT) {
      placeholder.isDone = true;
      for (const reader of readers) reader.found();
      return;
    }
    this.counts.fetches++;
    const sentAtMs = nowMs();
    let fetched: FetchedEntry | undefined;
    try {
      fetched = await entries.get(key);
    } catch {
      placeholder.isDone = true;
      this.counts.failures += readers.length;
      refuse(readers, whenUnavailable === 'miss' ? MISS : TIER_UNAVAILABLE);
      return;
    }
    placeholder.isDone = true;
    const leftMs = leftOf(fetched?.ttlMs ?? 0, sentAtMs, nowMs());
    if (!fetched || leftMs < 0) {
      this.counts.misses += readers.length;
      refuse(readers, MISS);
      return;
    }
    this.counts.hits += readers.length;
    if (!this.keepCopy(key, fetched.record, leftMs)) {
      refuse(readers, TOO_LARGE);
      return;
    }
    for (const reader of readers) reader.found();
    if (!placeholder.mayCopy) this.dropCopy(key);
  }

  /** @param leftMs 0 for an entry that does not expire. @returns false where the shard cannot hold it. */
  private keepCopy(key: string, { value, ...metadata }: EntryRecord, leftMs: number): boolean {
    const { store, reads } = this.options;
    reads.settle(key);
    const originalMs = leftMs === 0 ? Infinity : leftMs;
    const copyMs = Math.min(originalMs, MAX_COPY_MS);
    if (!store.put(key, value, copyMs, metadata)) return false;
    if (copyMs < originalMs) store.setLivesOn(store.peek(key), originalMs - copyMs);
    return true;
  }

  private dropCopy(key: string): void {
    const { store, reads } = this.options;
    if (store.peek(key) === NO_SLOT) return;
    reads.settle(key);
    store.delete(key);
  }
}

/**
 * What is left of a lifetime, in whole milliseconds, counted from before the engine was asked: so no copy outlives its
 * entry. @returns 0 for one without end, -1 where it is over.
 */
function leftOf(ttlMs: number, sentAtMs: number, nowMs: number): number {
  if (ttlMs === 0) return 0;
  const leftMs = Math.floor(ttlMs - (nowMs - sentAtMs));
  return leftMs > 0 ? leftMs : -1;
}

function refuse(readers: readonly Reader[], code: number): void {
  for (const reader of readers) reader.refuse(code);
}
