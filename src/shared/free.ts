/**
 * Gives a buffer's memory back to the system at once. Nobody may use the buffer afterwards. A buffer that is only dropped
 * stays resident until it is collected, and one that has survived two minor collections until a major one.
 */
export function free(buffer: ArrayBuffer): void {
  buffer.transfer(0);
}
