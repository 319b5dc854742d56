import { ReadQueue, type WaitingRead } from './read-queue.ts';

/** A read whose reply waits until earlier large replies have been delivered. */
export interface DeferredGet extends WaitingRead {
  readonly acceptsGzip: boolean;
}

export interface ReplyWindowOptions {
  /** This shard's number: its cell. */
  readonly shard: number;
  /** Characters of large replies that are on their way, one cell per shard. */
  readonly cells: Int32Array;
  /** How many of them each shard may have on their way at once, but for one reply that is larger. */
  readonly characters: number;
  /** Whoever has waited for longer has been told so by the main thread. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
}

/** More reads than this do not wait. */
const MOST_DEFERRED = 4096;
/** A shard that has sent a reply larger than all shares together leaves the others so long for one of theirs. */
const YIELD_MS = 25;

/**
 * Bounds the memory of replies on their way to clients. A request says how large it is; a reply does not
 * until the entry is found, so only the shard can hold back. Small replies pass; a large one that finds the
 * window full waits its turn, and holds up nobody else.
 *
 * A reply larger than the shard's share goes all the same, when the shares of all shards together are not passed. Of
 * replies larger than these there is so one in all, not one of each shard.
 */
export class ReplyWindow {
  private readonly options: ReplyWindowOptions;
  private readonly deferred = new ReadQueue<DeferredGet & { readonly sinceMs: number }>();
  private isOversized = false;
  private yieldsUntilMs = 0;

  constructor(options: ReplyWindowOptions) {
    this.options = options;
  }

  /** True while the next large reply may go. */
  get hasRoom(): boolean {
    const { cells, shard, characters, nowMs } = this.options;
    if (Atomics.load(cells, shard) >= characters) return false;
    if (cells.length === 1) return true;
    let total = 0;
    for (let i = 0; i < cells.length; i++) total += Atomics.load(cells, i);
    return total < characters * cells.length && nowMs() >= this.yieldsUntilMs;
  }

  /** True while reads wait for room, which other shards may have. */
  get isWaiting(): boolean {
    return this.deferred.length > 0;
  }

  add(characters: number): void {
    const { cells, shard } = this.options;
    if (characters > this.options.characters * cells.length) this.isOversized = true;
    Atomics.add(cells, shard, characters);
  }

  remove(characters: number): void {
    const { cells, shard, nowMs } = this.options;
    const left = Atomics.sub(cells, shard, characters) - characters;
    if (!this.isOversized || left >= this.options.characters) return;
    this.isOversized = false;
    this.yieldsUntilMs = nowMs() + YIELD_MS;
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
