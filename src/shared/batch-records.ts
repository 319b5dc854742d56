/**
 * The records of the binary form of `POST /batch`. `docs/batch-format.md` describes them for writers of clients. Main
 * thread, shards and clients read and write the same bytes, so that nobody has to translate them. Runs in browsers, too:
 * no Node here.
 *
 *     request    u8 version ‖ one record for each request, in order
 *     record     u8 method ‖ u8 flags ‖ u16 key bytes ‖ [PUT: u32 value bytes] ‖ optional fields ‖ key ‖ [PUT: value]
 *     response   u8 version ‖ one record for each request, in the same order
 *     record     u16 status ‖ u8 flags ‖ u32 value bytes ‖ optional fields ‖ value
 *
 * Numbers are big-endian. The optional fields stand in the order of their flags, each only where its flag is set.
 */
export const BATCH_VERSION = 1;
/** Requests in one batch. */
export const MAX_BATCH_REQUESTS = 1000;
/** Bytes of a batch, and of its answer. */
export const MAX_BATCH_BYTES = 4 * 2 ** 20;

export const GET = 1;
export const PUT = 2;
export const DELETE = 3;
export const HEAD = 4;

/** f64: seconds that an entry lives, or has left to live. */
export const HAS_TTL = 1;
/** Texts: u8 length, then one byte for each character. */
export const HAS_TYPE = 2;
export const HAS_ENCODING = 4;
/** In a response the entity tag, as a text. In a request: it is wanted; no field follows. */
export const HAS_TAG = 8;
/** `If-None-Match: *`. No field follows. */
export const CREATE_ONLY = 16;
/** The value is text in UTF-8, of type text/plain: as a value that was put as JSON. No field follows. */
export const IS_TEXT = 32;
/** Of a response: the value is the code of an error, a space, and a message for people. */
export const IS_ERROR = 64;

export const REQUEST_FLAGS = HAS_TTL | HAS_TYPE | HAS_ENCODING | HAS_TAG | CREATE_ONLY | IS_TEXT;
export const RESPONSE_HEAD_BYTES = 7;

export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function u32At(bytes: Uint8Array, at: number): number {
  return ((u16At(bytes, at) << 16) | u16At(bytes, at + 2)) >>> 0;
}

/** Of one-byte characters. */
export function textAt(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at]);
  return text;
}

/** Walks the records of requests. Its properties are those of the record that `next` has found. */
export class RequestRecords {
  method = 0;
  flags = 0;
  start = 0;
  keyStart = 0;
  keyEnd = 0;
  /** Also the end of the record. */
  valueEnd = 1;

  private readonly bytes: Uint8Array;
  private fieldsStart = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** @returns false at the end, or where the rest is no record: then `isAtEnd` is false. */
  next(): boolean {
    const { bytes } = this;
    const start = this.valueEnd;
    if (start + 4 > bytes.length) return false;
    const method = bytes[start];
    const flags = bytes[start + 1];
    const fieldsStart = method === PUT ? start + 8 : start + 4;
    const keyStart =
      flags & (HAS_TTL | HAS_TYPE | HAS_ENCODING) ? this.fieldsEnd(fieldsStart, flags) : fieldsStart;
    const keyEnd = keyStart + u16At(bytes, start + 2);
    const valueEnd = method === PUT ? keyEnd + u32At(bytes, start + 4) : keyEnd;
    // NaN where a field lies beyond the end.
    if (!(valueEnd <= bytes.length)) return false;
    this.method = method;
    this.flags = flags;
    this.start = start;
    this.fieldsStart = fieldsStart;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.valueEnd = valueEnd;
    return true;
  }

  get isAtEnd(): boolean {
    return this.valueEnd === this.bytes.length;
  }

  /** Seconds; only where the flag is set. */
  get ttl(): number {
    const { buffer, byteOffset } = this.bytes;
    return new DataView(buffer, byteOffset).getFloat64(this.fieldsStart);
  }

  get contentType(): string {
    return this.flags & HAS_TYPE ? this.text(this.fieldsEnd(this.fieldsStart, this.flags & HAS_TTL)) : '';
  }

  get contentEncoding(): string {
    if ((this.flags & HAS_ENCODING) === 0) return '';
    return this.text(this.fieldsEnd(this.fieldsStart, this.flags & (HAS_TTL | HAS_TYPE)));
  }

  private text(at: number): string {
    return textAt(this.bytes, at + 1, at + 1 + this.bytes[at]);
  }

  private fieldsEnd(start: number, flags: number): number {
    const { bytes } = this;
    let end = start;
    if (flags & HAS_TTL) end += 8;
    if (flags & HAS_TYPE) end += 1 + bytes[end];
    if (flags & HAS_ENCODING) end += 1 + bytes[end];
    return end;
  }
}

/** Where the record of an answer ends that begins at `at`. NaN, or beyond the end, where it is cut off. */
export function responseEnd(bytes: Uint8Array, at: number): number {
  const flags = bytes[at + 2];
  let end = at + RESPONSE_HEAD_BYTES;
  if (flags & HAS_TTL) end += 8;
  if (flags & HAS_TYPE) end += 1 + bytes[end];
  if (flags & HAS_ENCODING) end += 1 + bytes[end];
  if (flags & HAS_TAG) end += 1 + bytes[end];
  return end + u32At(bytes, at + 3);
}
