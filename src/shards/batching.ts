/** From this many requests in one turn of the event loop on, a batch waits for a turn that adds none. */
export const MIN_GATHERED_REQUESTS = 4;
/** A batch of this length is posted at once. */
const FLUSH_BYTES = 2 ** 18;

export interface BatchingOptions {
  readonly post: (batch: string) => void;
  /** Called after a flush at the end of a turn. */
  readonly onTurnEnd: () => void;
}

/**
 * Gathers requests and decides when they are posted as one message. Waking a thread costs more than a request, so, as
 * in Nagle's algorithm, a batch waits until the one before it has been answered: see ADR 4. If nothing is in flight it
 * is posted at the end of the event loop's turn, or, while each turn adds requests to an already large batch, a turn
 * later.
 */
export class Batching {
  private readonly options: BatchingOptions;
  private batch = '';
  private requests = 0;
  /** The number of requests at the end of the turn before this one. */
  private requestsBefore = 0;

  private readonly endTurn = (): void => {
    const { requests } = this;
    if (requests >= MIN_GATHERED_REQUESTS && requests > this.requestsBefore) {
      this.requestsBefore = requests;
      setImmediate(this.endTurn);
    } else {
      this.flush();
      this.options.onTurnEnd();
    }
  };

  constructor(options: BatchingOptions) {
    this.options = options;
  }

  /** @param isIdle whether all requests that have been posted are answered. */
  add(request: string, isIdle: boolean): void {
    if (isIdle && this.batch === '') setImmediate(this.endTurn);
    this.batch += request;
    this.requests++;
    if (this.batch.length >= FLUSH_BYTES) this.flush();
  }

  /** To be called when all requests that have been posted are answered: the next batch need not wait any longer. */
  release(): void {
    if (this.batch !== '') setImmediate(this.endTurn);
  }

  /** Posts the batch now. */
  flush(): void {
    const { batch } = this;
    if (batch === '') return;
    this.clear();
    this.options.post(batch);
  }

  /** Forgets the batch: its shard is gone. */
  clear(): void {
    this.batch = '';
    this.requests = 0;
    this.requestsBefore = 0;
  }
}
