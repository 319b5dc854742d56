/**
 * Gives a buffer's memory back to the system at once. Nobody may use the buffer afterwards. A buffer that is only dropped
 * stays resident until it is collected; after it has survived two minor collections, that takes a major one. Node does not
 * document that `transfer(0)` frees memory at once. If it no longer does, `test/http/node-internals.test.ts` fails.
 */
export function free(buffer: ArrayBuffer): void {
  buffer.transfer(0);
}

/**
 * Frees the buffer of a piece that a socket has read. Node's parser copies each piece into a buffer of its own. A piece that
 * is only a part of a buffer is left alone.
 */
export function freeWhole({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength > 0) free(buffer);
}
