/** Why an entry went. */
export type Removal = 'deleted' | 'cleared' | 'replaced' | 'expired' | 'evicted' | 'shed';

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
  private readonly gone = new Set<string>();
  private goneBytes = 0;

  /** An entry goes. */
  remove(key: string, reason: Removal): void {
    if (!this.isOpen) return;
    // What is to come is colder than what has been evicted. What was there before is to be gone when all is cleared.
    if (reason === 'evicted' || reason === 'shed' || reason === 'cleared') this.close();
    else if (reason !== 'replaced') this.add(key);
  }

  /** Whether there is any key that has gone. */
  get hasGone(): boolean {
    return this.gone.size > 0;
  }

  isGone(key: string): boolean {
    return this.gone.has(key);
  }

  /** A client has deleted a key, whether or not it was there. */
  add(key: string): void {
    if (!this.isOpen || this.gone.has(key)) return;
    this.gone.add(key);
    this.goneBytes += key.length + GONE_KEY_BYTES;
    if (this.goneBytes > MAX_GONE_BYTES) this.close();
  }

  close(): void {
    this.isOpen = false;
    this.gone.clear();
  }
}
