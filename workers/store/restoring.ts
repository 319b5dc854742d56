import { free } from '../../src/shared/free.ts';

/** Why an entry went. */
export type Removal = 'deleted' | 'cleared' | 'replaced' | 'expired' | 'evicted' | 'shed';

/** With a million entries, one new key in sixteen looks as if it were not new. */
const FILTER_BYTES = 2 ** 20;
const FILTER_MASK = FILTER_BYTES / 4 - 1;
/** What the keys may take that have gone while a snapshot is read. */
const MAX_GONE_BYTES = 2 ** 20;
/** What a key takes in a `Set`, beside its characters. */
const GONE_KEY_BYTES = 64;

/**
 * While a snapshot is read: which keys must not come back from it, because they were put or removed since the start. A key
 * that was put is in the segment. One that has been removed again is remembered here.
 */
export class Restoring {
  /** False once nothing more may come from the file. */
  isOpen = true;
  /** Has the bit set that a key's hash names if the key was put, read from the file, or removed since the start. */
  private readonly filter = new Uint32Array(FILTER_BYTES / 4);
  private readonly gone = new Set<string>();
  private goneBytes = 0;

  /** @param isEmpty whether the segment has no entry yet. */
  constructor(isEmpty: boolean) {
    if (!isEmpty) this.filter.fill(0xffffffff);
  }

  /** An entry comes. */
  insert(hash: number): void {
    this.filter[(hash >>> 5) & FILTER_MASK] |= 1 << (hash & 31);
  }

  /** False where no entry with a key of this hash has come or gone. It needs no look at the index, and none at entries. */
  mayKnow(hash: number): boolean {
    return (this.filter[(hash >>> 5) & FILTER_MASK] & (1 << (hash & 31))) !== 0;
  }

  /** An entry goes. */
  remove(key: string, hash: number, reason: Removal): void {
    if (!this.isOpen) return;
    // What is to come is colder than what has been evicted. What was there before is to be gone when all is cleared.
    if (reason === 'evicted' || reason === 'shed' || reason === 'cleared') this.close();
    else if (reason !== 'replaced') this.add(key, hash);
  }

  /** Whether there is any key that has gone. */
  get hasGone(): boolean {
    return this.gone.size > 0;
  }

  isGone(key: string): boolean {
    return this.gone.has(key);
  }

  /** A client has deleted a key, whether or not it was there. */
  add(key: string, hash: number): void {
    if (!this.isOpen || this.gone.has(key)) return;
    this.insert(hash);
    this.gone.add(key);
    this.goneBytes += key.length + GONE_KEY_BYTES;
    if (this.goneBytes > MAX_GONE_BYTES) this.close();
  }

  /** To be called when the file has been read. Nothing may be asked afterwards. */
  end(): void {
    free(this.filter.buffer);
  }

  close(): void {
    this.isOpen = false;
    this.gone.clear();
  }
}
