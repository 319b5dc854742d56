import { isAscii } from 'node:buffer';
import {
  BUSY,
  CLEARED,
  CREATED,
  DELETED,
  MISS,
  PRECONDITION_FAILED,
  REPLACED,
  STORED,
  TIER_UNAVAILABLE,
  TOO_LARGE,
  encodeLate,
  encodeU32,
} from '../../src/shared/protocol.ts';
import {
  type Conditions,
  type EntryTexts,
  NO_CONDITIONS,
  decodePutOptions,
  encodeHead,
} from '../../src/shared/raw-entries.ts';
import type { TierFigures } from '../../src/shared/tier.ts';
import { KEPT_TAG_BYTES, entityTag } from '../reads/entity-tag.ts';
import type { Reads, RemoteRead } from '../reads/reads.ts';
import type { Session } from '../session.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';
import type { Engine } from './engine.ts';
import { Entries, type FetchedEntry } from './entries.ts';
import { KeyLines, type Placeholder } from './key-lines.ts';
import { type EntryRecord, encodeRecord } from './record.ts';

export interface TierOptions {
  readonly shard: number;
  readonly engine: Engine;
  readonly store: SegmentStore;
  readonly reads: Reads;
  readonly whenUnavailable: '503' | 'miss';
  /** After which the HTTP thread has given a request up. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
}

interface Write {
  readonly texts: EntryTexts;
  readonly ttlMs: number;
  readonly conditions: Conditions;
}

type Reply = readonly [code: number, head?: string];

/** Requests that may wait for the engine, and the bytes of the values among them. */
const MAX_WAITING = 4096;
const MAX_WAITING_BYTES = 8 * 2 ** 20;
/** A copy is asked for again after this long, whatever was announced meanwhile. */
export const MAX_COPY_MS = 10 * 60_000;

const NO_TEXTS: EntryTexts = { contentType: '', contentEncoding: '', headers: ['', ''] };

/**
 * Makes the shard the near cache of an engine. What the store has not, is asked for there; what is written, is written
 * there first. The store holds copies, and only as long as nobody has changed the entry in the engine: see ADR 70.
 */
export class Tier {
  private readonly options: TierOptions;
  private readonly entries: Entries;
  private readonly lines: KeyLines;
  private clearing: Promise<number> | undefined;
  /** The one that begins when the present one has ended. */
  private nextClear: Promise<number> | undefined;
  private readonly counts = { hits: 0, misses: 0, fetches: 0, writes: 0, failures: 0 };
  private readonly changes = { invalidations: 0, flushes: 0, flushedEntries: 0, puts: 0, deletes: 0 };

  constructor(options: TierOptions) {
    this.options = options;
    this.entries = new Entries(options.engine);
    this.lines = new KeyLines(options.nowMs);
  }

  /** True while requests wait for the engine, which needs turns of the event loop. */
  get isBusy(): boolean {
    return this.lines.size > 0 || this.clearing !== undefined;
  }

  get figures(): TierFigures {
    const { invalidations, flushes } = this.changes;
    return { ...this.counts, invalidations, flushes, nodes: this.options.engine.state };
  }

  /** What clients have stored, deleted and cleared: the store counts copies. */
  clientCounts(counted: { readonly cleared: number }): { puts: number; deletes: number; cleared: number } {
    const { puts, deletes, flushedEntries } = this.changes;
    return { puts, deletes, cleared: counted.cleared - flushedEntries };
  }

  /** A read has found no copy. */
  read(session: Session, key: string, opcode: number, conditions: Conditions): void {
    const ticket = this.admit(session, 0);
    if (ticket === undefined) return;
    const read: RemoteRead = { session, ticket, key, opcode, conditions };
    this.lines.addRead(key, read, (reads, placeholder) => this.fetch(key, reads, placeholder));
  }

  put(session: Session, key: string, value: string | Uint8Array, ttlMs: number): void {
    this.write(session, key, value, { texts: NO_TEXTS, ttlMs, conditions: NO_CONDITIONS }, () => [STORED]);
  }

  /** @param options as `encodePutOptions` made them. */
  putRaw(session: Session, key: string, value: Uint8Array, options: string): void {
    const { ttlMs, conditions, ...texts } = decodePutOptions(options);
    const valueBytes = value.length;
    this.write(session, key, value, { texts, ttlMs, conditions }, (isNew, tag) => {
      const head = encodeHead({ ...texts, valueBytes, ttlMs, tag });
      return [isNew ? CREATED : REPLACED, head];
    });
  }

  delete(session: Session, key: string, conditions: Conditions): void {
    this.carryOut(session, key, 0, async () => {
      this.dropCopy(key);
      const outcome = await this.entries.delete(key, conditions);
      if (outcome === 'not met') return [PRECONDITION_FAILED];
      if (outcome === 'replaced') this.changes.deletes++;
      return [outcome === 'replaced' ? DELETED : MISS];
    });
  }

  /** Removes all entries. The first shard does it in the engine, the others are asked when that is done. */
  clear(session: Session): void {
    const { shard } = this.options;
    this.flush();
    if (shard !== 0) {
      session.reply(String.fromCharCode(CLEARED) + encodeU32(0));
      return;
    }
    const ticket = session.nextTicket();
    session.reply(encodeLate(ticket));
    const reply = (code: number, payload: string): void =>
      session.post({ kind: 'late', ticket, code, payload });
    this.clearEngine().then(
      (removed) => reply(CLEARED, encodeU32(removed)),
      () => {
        this.counts.failures++;
        reply(TIER_UNAVAILABLE, '');
      },
    );
  }

  /** Somebody else has changed the entry of a key; null: any may have changed. */
  invalidate(key: string | null): void {
    if (key === null) {
      this.flush();
      return;
    }
    this.changes.invalidations++;
    this.lines.forbidCopy(key);
    this.dropCopy(key);
  }

  /** Begins a new epoch: no copy is used any more, nor are answers under way kept. */
  flush(): void {
    const { reads, store } = this.options;
    this.lines.forbidCopies();
    reads.settle();
    this.changes.flushedEntries += store.clear();
    this.changes.flushes++;
  }

  /** Gives up requests that have waited in vain for their turn. To be called many times per deadline. */
  expire(): void {
    this.lines.expire(this.options.nowMs() - this.options.deadlineMs);
  }

  /** @returns how many entries have been removed since it was called. */
  private clearEngine(): Promise<number> {
    if (!this.clearing) return this.beginClear();
    // What was put since the present one began may be behind it already.
    this.nextClear ??= this.clearing
      .catch(() => 0)
      .then(async (before) => {
        this.nextClear = undefined;
        return before + (await this.beginClear());
      });
    return this.nextClear;
  }

  private beginClear(): Promise<number> {
    this.clearing = this.options.engine.clear().finally(() => {
      this.clearing = undefined;
      // What was read meanwhile may have been removed since, and our own removals are not announced.
      this.flush();
    });
    return this.clearing;
  }

  private write(
    session: Session,
    key: string,
    value: string | Uint8Array,
    { texts, ttlMs, conditions }: Write,
    replyOf: (isNew: boolean, tag: string) => Reply,
  ): void {
    const given = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
    // Read now: the caller frees what it has given.
    const valueBytes = given.length;
    const tag = entityTag(given, texts);
    const isText = isAscii(given);
    const record = encodeRecord({ ...texts, tag, isText, value: given });
    this.carryOut(session, key, record.length, async (placeholder) => {
      const { nowMs } = this.options;
      const sentAtMs = nowMs();
      this.dropCopy(key);
      const outcome = await this.entries.put(key, record, ttlMs, conditions);
      if (outcome === 'not met') return [PRECONDITION_FAILED];
      this.changes.puts++;
      const kept = { ...texts, tag, isText, value: record.subarray(record.length - valueBytes) };
      const leftMs = leftOf(ttlMs, sentAtMs, nowMs());
      if (placeholder.mayCopy && leftMs >= 0) this.keepCopy(key, kept, leftMs);
      return replyOf(outcome === 'new', tag);
    });
  }

  /** Carries out a write when the requests of its key before it have been. */
  private carryOut(
    session: Session,
    key: string,
    bytes: number,
    perform: (placeholder: Placeholder) => Promise<Reply>,
  ): void {
    const ticket = this.admit(session, bytes);
    if (ticket === undefined) return;
    // From now on nobody reads the old entry here: reads wait for this write.
    this.dropCopy(key);
    const reply = (code: number, head?: string): void =>
      session.post({ kind: 'late', ticket, code, payload: '', head });
    const fail = (): void => {
      this.counts.failures++;
      reply(TIER_UNAVAILABLE);
    };
    this.lines.addWrite(key, bytes, fail, async (placeholder) => {
      try {
        const [code, head] = await perform(placeholder);
        this.counts.writes++;
        reply(code, head);
      } catch {
        // Nobody knows whether the engine has carried it out.
        this.dropCopy(key);
        fail();
      }
    });
  }

  private async fetch(key: string, reads: readonly RemoteRead[], placeholder: Placeholder): Promise<void> {
    const { store, nowMs, whenUnavailable } = this.options;
    // The write before it may have left one.
    if (store.peek(key) !== NO_SLOT) {
      placeholder.isDone = true;
      this.answer(reads);
      return;
    }
    this.counts.fetches++;
    const sentAtMs = nowMs();
    let fetched: FetchedEntry | undefined;
    try {
      fetched = await this.entries.get(key);
    } catch {
      placeholder.isDone = true;
      this.counts.failures += reads.length;
      refuse(reads, whenUnavailable === 'miss' ? MISS : TIER_UNAVAILABLE);
      return;
    }
    placeholder.isDone = true;
    const leftMs = leftOf(fetched?.ttlMs ?? 0, sentAtMs, nowMs());
    if (!fetched || leftMs < 0) {
      this.counts.misses += reads.length;
      refuse(reads, MISS);
      return;
    }
    this.counts.hits += reads.length;
    if (!this.keepCopy(key, fetched.record, leftMs)) {
      refuse(reads, TOO_LARGE);
      return;
    }
    this.answer(reads);
    if (!placeholder.mayCopy) this.dropCopy(key);
  }

  private answer(reads: readonly RemoteRead[]): void {
    for (const read of reads) this.options.reads.answerRemote(read);
  }

  /** @param leftMs 0 for an entry that does not expire. @returns false where the shard cannot hold it. */
  private keepCopy(key: string, { value, tag, isText, ...texts }: EntryRecord, leftMs: number): boolean {
    const { store, reads } = this.options;
    reads.settle(key);
    const isPlainText = isText && texts.contentType === '' && texts.contentEncoding === '';
    const metadata = { ...texts, tag: value.length >= KEPT_TAG_BYTES ? tag : '', isText };
    const originalMs = leftMs === 0 ? Infinity : leftMs;
    const copyMs = Math.min(originalMs, MAX_COPY_MS);
    if (!store.put(key, value, copyMs, isPlainText ? undefined : metadata)) return false;
    if (copyMs < originalMs) store.setLivesOn(store.peek(key), originalMs - copyMs);
    return true;
  }

  private dropCopy(key: string): void {
    const { store, reads } = this.options;
    if (store.peek(key) === NO_SLOT) return;
    reads.settle(key);
    store.delete(key);
  }

  /** @returns a ticket for a request that may wait; undefined where it was refused. */
  private admit(session: Session, bytes: number): number | undefined {
    const { lines } = this;
    const isTooMuch = lines.bytes > 0 && lines.bytes + bytes > MAX_WAITING_BYTES;
    if (lines.waiting >= MAX_WAITING || (bytes > 0 && isTooMuch)) {
      session.reply(String.fromCharCode(BUSY));
      return undefined;
    }
    const ticket = session.nextTicket();
    session.reply(encodeLate(ticket));
    return ticket;
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

function refuse(reads: readonly RemoteRead[], code: number): void {
  for (const { session, ticket } of reads) session.post({ kind: 'late', ticket, code, payload: '' });
}
