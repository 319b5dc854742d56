/** Runs a minor collection; there is one where the process was started with `--expose-gc`. */
export type Collect = () => void;

/**
 * Has dead bodies collected in time. A large body leaves strings and buffers behind, most of them outside
 * the JavaScript heap, where they hardly count as a reason to collect: under a flood of large values a
 * process dies of its garbage long before V8 looks at it. So it is counted here, in bytes.
 */
export class GarbageMeter {
  private readonly everyBytes: number;
  private readonly collect: Collect;
  private bytes = 0;

  /** @param everyBytes bodies of this many bytes in all, and a collection follows. */
  constructor(everyBytes: number, collect: Collect) {
    this.everyBytes = everyBytes;
    this.collect = collect;
  }

  add(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes < this.everyBytes) return;
    this.bytes = 0;
    this.collect();
  }
}

/** The engine's own minor collection: about a millisecond. Does nothing where it is not exposed. */
export function collectMinor(): void {
  globalThis.gc?.({ type: 'minor', execution: 'sync' });
}
