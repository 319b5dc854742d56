/** From so many bytes on the shard is told at once. */
const TOLD_BYTES = 2 ** 16;

export interface DeliveriesOptions {
  readonly post: (bytes: number) => void;
  /** Whether replies wait for the room that these bytes take. */
  readonly areAwaited: () => boolean;
}

/**
 * Tells the shard how many bytes of large replies clients have taken: so much more may be under way. To wake a thread costs
 * more than a small answer. So it is told at most once per turn, and of few bytes only when replies wait for them, or by the
 * next sweep.
 */
export class Deliveries {
  private readonly options: DeliveriesOptions;
  private bytes = 0;
  private isTurnBegun = false;

  constructor(options: DeliveriesOptions) {
    this.options = options;
  }

  add(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes >= TOLD_BYTES || this.options.areAwaited()) this.tellSoon();
  }

  /** At the end of the turn. */
  tellSoon(): void {
    if (this.isTurnBegun) return;
    this.isTurnBegun = true;
    setImmediate(this.endTurn);
  }

  tell(): void {
    const { bytes } = this;
    this.bytes = 0;
    if (bytes > 0) this.options.post(bytes);
  }

  private readonly endTurn = (): void => {
    this.isTurnBegun = false;
    this.tell();
  };
}
