/** Of a value. The server takes no longer one in a batch. */
export const MAX_BATCHED_BYTES = 2 ** 20;
/** A batch is not made longer once it has so many bytes. With one more value it has no more than the server takes. */
export const MAX_BATCH_BYTES = 2 ** 19;
