import { HANDED_OVER_BYTES, type Payload } from './protocol.ts';
import { BATCH_VERSION, IS_ERROR, MAX_BATCH_BYTES, RESPONSE_HEAD_BYTES } from './batch-records.ts';

/** Smaller numbers in the place of a status are codes of replies. */
export const MIN_STATUS = 200;

const MIN_CAPACITY = 2 ** 14;
/** More is not kept for the next batch. */
const MAX_KEPT_CAPACITY = 2 ** 18;
/** Head and all fields of a record. */
const MAX_RECORD_HEAD_BYTES = RESPONSE_HEAD_BYTES + 8 + 3 * 256;

/** Writes the records of the answer to a client's batch, one answer after the other: see `batch-records.ts`. */
export class ResponseRecords {
  /** For values, which are written to the place that `skip` returns. */
  buffer = Buffer.allocUnsafeSlow(MIN_CAPACITY);
  hasFailures = false;
  private length = 1;

  /** Begins an answer. */
  begin(): void {
    this.buffer[0] = BATCH_VERSION;
    this.length = 1;
    this.hasFailures = false;
  }

  /** Whether a value of so many bytes has room in the answer. */
  hasRoomFor(valueBytes: number): boolean {
    return this.length + RESPONSE_HEAD_BYTES + valueBytes <= MAX_BATCH_BYTES;
  }

  /** Makes room for a record, and writes how it begins. What its flags say must follow. */
  addHead(status: number, flags: number, valueBytes: number): void {
    this.reserve(MAX_RECORD_HEAD_BYTES + valueBytes);
    const { buffer, length } = this;
    buffer[length] = status >>> 8;
    buffer[length + 1] = status;
    buffer[length + 2] = flags;
    buffer[length + 3] = valueBytes >>> 24;
    buffer[length + 4] = valueBytes >>> 16;
    buffer[length + 5] = valueBytes >>> 8;
    buffer[length + 6] = valueBytes;
    this.length = length + RESPONSE_HEAD_BYTES;
  }

  /** A record that is nothing but a status. */
  addBare(status: number): void {
    this.addHead(status, 0, 0);
  }

  /** @param code of a reply, which the main thread makes into an error. */
  addFailure(code: number): void {
    this.hasFailures = true;
    this.addHead(code, 0, 0);
  }

  /** @param text of one-byte characters. */
  addError(status: number, text: string): void {
    this.addHead(status, IS_ERROR, text.length);
    this.buffer.write(text, this.skip(text.length), 'latin1');
  }

  /** A whole record of another answer. */
  addRecord(source: Buffer, start: number, end: number): void {
    this.reserve(end - start);
    source.copy(this.buffer, this.skip(end - start), start, end);
  }

  addDouble(number: number): void {
    this.buffer.writeDoubleBE(number, this.length);
    this.length += 8;
  }

  /** @param text of at most 255 one-byte characters. */
  addShort(text: string): void {
    this.buffer[this.length] = text.length;
    this.buffer.write(text, this.length + 1, 'latin1');
    this.length += 1 + text.length;
  }

  /** Leaves room for a value. @returns where it begins. */
  skip(valueBytes: number): number {
    const start = this.length;
    this.length += valueBytes;
    return start;
  }

  /** The answer: short as a string of one-byte characters, long in a buffer of its own that can be handed over. */
  take(): Payload {
    const { buffer, length } = this;
    if (length < HANDED_OVER_BYTES) return buffer.toString('latin1', 0, length);
    if (buffer.length > MAX_KEPT_CAPACITY) {
      this.buffer = Buffer.allocUnsafeSlow(MIN_CAPACITY);
      return Buffer.from(buffer.buffer.transfer(length));
    }
    const answer = Buffer.allocUnsafeSlow(length);
    buffer.copy(answer, 0, 0, length);
    return answer;
  }

  private reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted <= this.buffer.length) return;
    const capacity = Math.max(wanted, 2 * this.buffer.length);
    this.buffer = Buffer.from(this.buffer.buffer.transfer(capacity));
  }
}
