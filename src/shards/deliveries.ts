/** From this many bytes on, the shard learns of them at the end of the turn. */
const TOLD_BYTES = 2 ** 16;

export interface DeliveriesOptions {
  readonly post: (bytes: number) => void;
  /** Whether replies wait for the room that these bytes take. */
  readonly areAwaited: () => boolean;
}

/**
 * Tells the shard how many bytes of large replies clients have taken. The shard may then send as many bytes more. To wake a
 * thread costs more than a small answer. So there is at most one message per turn. Fewer bytes than `TOLD_BYTES` wait for the
 * next sweep, unless a reply waits for room.
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
