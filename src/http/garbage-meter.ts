/** Runs a minor collection; there is one where the process was started with `--expose-gc`. */
export type Collect = () => void;

/**
 * Has the garbage of large bodies collected in time. Such a body leaves strings and buffers behind, most of them outside
 * the JavaScript heap. V8 hardly counts those as a reason to collect, and under a flood of large values the process would
 * run out of memory before V8 collects. So their bytes are counted here.
 */
export class GarbageMeter {
  private readonly everyBytes: number;
  private readonly collect: Collect;
  private bytes = 0;

  /** @param everyBytes how many bytes of bodies lead to a collection. */
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
