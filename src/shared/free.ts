/**
 * Gives a buffer's memory back to the system at once. Nobody may use the buffer afterwards. A buffer that is only dropped
 * stays resident until it is collected, and one that has survived two minor collections until a major one. That a transfer
 * to no bytes frees memory at once is not documented; `test/http/node-internals.test.ts` fails where it does not.
 */
export function free(buffer: ArrayBuffer): void {
  buffer.transfer(0);
}
