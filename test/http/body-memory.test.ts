import { expect, onTestFinished, test, vi } from 'vitest';
import { DirectRequest } from '../../src/http/fast/direct-request.ts';
import { chunkedPutText, putText } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

const BYTES = 900_000;
const TEXT = 'x'.repeat(BYTES);
/** The parser makes a piece of what the socket has read at once: that much, or what there is. */
const MAX_PIECE_BYTES = 2 ** 16;
const MIN_PIECE_BYTES = 1000;

interface Pieces {
  /** Bytes that the parser has made pieces of. */
  readBytes: number;
  freedBytes: number;
}

function countPieces(): Pieces {
  const pieces: Pieces = { readBytes: 0, freedBytes: 0 };
  // oxlint-disable-next-line typescript/unbound-method -- called with its object
  const { push } = DirectRequest.prototype;
  const pushed = vi.spyOn(DirectRequest.prototype, 'push').mockImplementation(function (
    this: DirectRequest,
    chunk: Buffer | null,
  ) {
    pieces.readBytes += chunk?.length ?? 0;
    return push.call(this, chunk);
  });
  // oxlint-disable-next-line typescript/unbound-method -- called with its object
  const { transfer } = ArrayBuffer.prototype;
  const freed = vi.spyOn(ArrayBuffer.prototype, 'transfer').mockImplementation(function (
    this: ArrayBuffer,
    length?: number,
  ) {
    // A larger one is that in which the pieces are joined.
    if (this.byteLength <= MAX_PIECE_BYTES) pieces.freedBytes += this.byteLength;
    return transfer.call(this, length);
  });
  onTestFinished(() => {
    pushed.mockRestore();
    freed.mockRestore();
  });
  return pieces;
}

test.each([
  ['of a value, once it has been copied', putText('k', TEXT), 201],
  ['that is too large', putText('k', TEXT.repeat(8)), 413],
  ['that is refused', putText('k', TEXT).replace('application/json', 'text/plain'), 415],
  ['of a DELETE, which has none', chunkedPutText('k', TEXT).replace('PUT /cache', 'DELETE /cache/k'), 400],
])('what a socket has read of a body is given back at once: %s', async (_what, text, status) => {
  await using server = await startTestServer({ SHARDS: '1' });
  const pieces = countPieces();
  const raw = await RawSocket.open(server.port);
  raw.write(text);
  await raw.until(new RegExp(`^HTTP/1\\.1 ${status}`));
  expect(pieces.readBytes).toBeGreaterThan(MIN_PIECE_BYTES);
  await expect.poll(() => pieces.readBytes - pieces.freedBytes).toBe(0);
  raw.close();
});
