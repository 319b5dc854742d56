/** Of a value. The server takes no longer one in a batch. */
export const MAX_BATCHED_BYTES = 2 ** 20;
/** A batch is not made longer once it has so many bytes. With one more value it has no more than the server takes. */
export const MAX_BATCH_BYTES = 2 ** 19;
/** The answer to a batch is to have no more, as far as it can be told. The server puts at most four times as much into one. */
const MAX_ANSWER_BYTES = 2 ** 20;
/** How much of an expectation is left when an answer was smaller. */
const DECAY = 0.9;

/** Tells from the answers to earlier batches how long the next one may be. */
export class AnswerSize {
  private bytesPerCall = 1;

  /** How many calls the next batch may have. */
  get maxCalls(): number {
    return Math.max(1, Math.floor(MAX_ANSWER_BYTES / this.bytesPerCall));
  }

  /** @param calls those that were answered without an error. */
  note(bytes: number, calls: number): void {
    this.bytesPerCall = Math.max(1, bytes / Math.max(1, calls), this.bytesPerCall * DECAY);
  }
}
