/**
 * Gives a buffer's memory back at once; nobody may use it any more. Dropping the reference would leave it resident until
 * a collection, and often after it: what has lived through two of the frequent minor ones waits for a major one.
 */
export function free(buffer: ArrayBuffer): void {
  buffer.transfer(0);
}
