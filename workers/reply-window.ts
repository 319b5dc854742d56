import { ReadQueue, type WaitingRead } from './read-queue.ts';

/** A read whose reply waits until earlier large replies have been delivered. */
export interface DeferredGet extends WaitingRead {
  readonly acceptsGzip: boolean;
}

export interface ReplyWindowOptions {
  /** Characters of large replies that may be on their way at once. */
  readonly characters: number;
  /** Whoever has waited for longer has been told so by the main thread. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
}

/** More reads than this do not wait. */
const MOST_DEFERRED = 4096;

/**
 * Bounds the memory of replies on their way to clients. A request says how large it is; a reply does not
 * until the entry is found, so only the shard can hold back. Small replies pass; a large one that finds the
 * window full waits its turn, and holds up nobody else.
 */
export class ReplyWindow {
  private readonly options: ReplyWindowOptions;
  private readonly deferred = new ReadQueue<DeferredGet & { readonly sinceMs: number }>();
  private outstanding = 0;

  constructor(options: ReplyWindowOptions) {
    this.options = options;
  }

  /** True while the next large reply may go. One may always go, however large. */
  get hasRoom(): boolean {
    return this.outstanding < this.options.characters;
  }

  add(characters: number): void {
    this.outstanding += characters;
  }

  remove(characters: number): void {
    this.outstanding -= characters;
  }

  /** @returns false when too many wait already. */
  defer(get: DeferredGet): boolean {
    this.dropOverdue();
    if (this.deferred.length >= MOST_DEFERRED) return false;
    this.deferred.push({ ...get, sinceMs: this.options.nowMs() });
    return true;
  }

  /** The next read whose turn has come. */
  next(): DeferredGet | undefined {
    this.dropOverdue();
    return this.hasRoom ? this.deferred.shift() : undefined;
  }

  /** Takes out the reads of one key, or all: they will not be answered in their turn. */
  take(key?: string): DeferredGet[] {
    return this.deferred.take(key);
  }

  private dropOverdue(): void {
    const overdueBefore = this.options.nowMs() - this.options.deadlineMs;
    while ((this.deferred.first?.sinceMs ?? Infinity) < overdueBefore) this.deferred.shift();
  }
}
