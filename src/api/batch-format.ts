/**
 * The binary form of `POST /batch`, for both directions; `docs/batch-format.md` describes it for writers of clients.
 * Runs in browsers, too: no Node here.
 *
 *     request    u8 version ‖ one record for each request, in order
 *     record     u8 method ‖ u8 flags ‖ u16 key bytes ‖ [PUT: u32 value bytes] ‖ optional fields ‖ key ‖ [PUT: value]
 *     response   u8 version ‖ one record for each request, in the same order
 *     record     u16 status ‖ u8 flags ‖ u32 value bytes ‖ optional fields ‖ value
 *
 * Numbers are big-endian. The optional fields stand in the order of their flags, each only where its flag is set.
 */
export const BATCH_TYPE = 'application/vnd.key-value-cache.batch';
export const BATCH_VERSION = 1;
/** Requests in one batch. */
export const MAX_BATCH_REQUESTS = 1000;

export const GET = 1;
export const PUT = 2;
export const DELETE = 3;
export const HEAD = 4;

/** f64: seconds that an entry lives, or has left to live. */
export const HAS_TTL = 1;
/** Texts: u8 length, then one byte for each character. */
export const HAS_TYPE = 2;
export const HAS_ENCODING = 4;
/** In a response the entity tag; in a request that of `If-Match`. */
export const HAS_TAG = 8;
/** `If-None-Match: *`. No field follows. */
export const CREATE_ONLY = 16;
/** The value is text in UTF-8, of type text/plain: as a value that was put as JSON. No field follows. */
export const IS_TEXT = 32;
/** Of a response: the value is the code of an error, a space, and a message for people. */
export const IS_ERROR = 64;

const TEXT_FLAGS = HAS_TYPE | HAS_ENCODING | HAS_TAG;
const MAX_TEXT_BYTES = 255;
const MAX_KEY_BYTES = 0xffff;
/** Up to here a loop over the characters is quicker than an encoder. */
const SHORT_TEXT = 32;
const MIN_BUFFER_BYTES = 4096;

const encoder = new TextEncoder();

export type BatchMethod = typeof GET | typeof PUT | typeof DELETE | typeof HEAD;

export interface BatchRequest {
  readonly method: BatchMethod;
  readonly key: string;
  /** Of a PUT. A string is sent as UTF-8, and kept as text. */
  readonly value?: string | Uint8Array;
  /** Seconds. */
  readonly ttl?: number;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly ifMatch?: string;
  readonly createOnly?: boolean;
}

/** Where the parts of one record lie in the bytes that it was read from. */
export interface BatchRecord {
  /** The method of a request, or the status of a response. */
  kind: number;
  flags: number;
  keyStart: number;
  keyEnd: number;
  valueStart: number;
  valueEnd: number;
  /** Seconds; 0 for none. */
  ttl: number;
  contentType: string;
  contentEncoding: string;
  tag: string;
}

/** The bytes are no batch: cut off, of another version, or with lengths that do not fit. */
export class BatchFormatError extends Error {
  override readonly name = 'BatchFormatError';
}

/** Writes batches, one after the other, into memory that is used again. */
export class BatchWriter {
  private bytes = new Uint8Array(MIN_BUFFER_BYTES);
  private view = new DataView(this.bytes.buffer);
  private length = 0;

  get byteLength(): number {
    return this.length;
  }

  /** @throws RangeError for a key of more than 65,535 bytes and for other texts of more than 255; nothing is added then. */
  add(request: BatchRequest): void {
    const { method, key, value, ttl } = request;
    if (this.length === 0) this.begin();
    const start = this.length;
    const flags = flagsOf(request);
    this.reserve(16);
    this.length += method === PUT ? 8 : 4;
    if (ttl !== undefined) {
      this.view.setFloat64(this.length, ttl);
      this.length += 8;
    }
    if (flags & TEXT_FLAGS) for (const text of textsOf(request)) this.addShort(text);
    const keyBytes = this.addText(key);
    if (keyBytes > MAX_KEY_BYTES) {
      this.length = start;
      throw new RangeError(`A key has at most ${MAX_KEY_BYTES} bytes; this one has ${keyBytes}.`);
    }
    const valueBytes = method === PUT ? this.addValue(value ?? '') : 0;
    const { view } = this;
    view.setUint8(start, method);
    view.setUint8(start + 1, flags);
    view.setUint16(start + 2, keyBytes);
    if (method === PUT) view.setUint32(start + 4, valueBytes);
  }

  /** The batch in memory of its own; the writer is empty afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    const batch = this.bytes.slice(0, this.length);
    this.length = 0;
    return batch;
  }

  private begin(): void {
    this.view.setUint8(0, BATCH_VERSION);
    this.length = 1;
  }

  private addShort(text: string): void {
    if (text === '') return;
    this.reserve(1 + text.length);
    this.view.setUint8(this.length++, text.length);
    for (let at = 0; at < text.length; at++) this.bytes[this.length++] = text.charCodeAt(at);
  }

  private addValue(value: string | Uint8Array): number {
    if (typeof value === 'string') return this.addText(value);
    this.reserve(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
    return value.length;
  }

  /** @returns bytes of the text in UTF-8. */
  private addText(text: string): number {
    const start = this.length;
    this.reserve(text.length * 3);
    if (text.length <= SHORT_TEXT && this.addAscii(text)) return text.length;
    const { written } = encoder.encodeInto(text, this.bytes.subarray(start));
    this.length = start + written;
    return written;
  }

  /** @returns false when the text is not all ASCII; then nothing is added. */
  private addAscii(text: string): boolean {
    const { bytes, length } = this;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code > 0x7f) return false;
      bytes[length + at] = code;
    }
    this.length = length + text.length;
    return true;
  }

  private reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}

function textsOf({ contentType = '', contentEncoding = '', ifMatch = '' }: BatchRequest): readonly string[] {
  return [contentType, contentEncoding, ifMatch];
}

function flagsOf(request: BatchRequest): number {
  const { value, ttl, contentType, contentEncoding, ifMatch, createOnly } = request;
  for (const text of [contentType, contentEncoding, ifMatch]) {
    if (text !== undefined && text.length > MAX_TEXT_BYTES) {
      throw new RangeError(`A header has at most ${MAX_TEXT_BYTES} characters; this one has ${text.length}.`);
    }
  }
  return (
    (ttl === undefined ? 0 : HAS_TTL) |
    (contentType ? HAS_TYPE : 0) |
    (contentEncoding ? HAS_ENCODING : 0) |
    (ifMatch ? HAS_TAG : 0) |
    (createOnly ? CREATE_ONLY : 0) |
    (typeof value === 'string' ? IS_TEXT : 0)
  );
}

/**
 * Reads the records of a batch one by one. The record that `next` returns is the same object each time: take from it what
 * is wanted before the next call.
 * @throws BatchFormatError from the constructor and from `next`.
 */
export class BatchReader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly isResponse: boolean;
  private at = 1;
  private readonly record: BatchRecord = {
    kind: 0,
    flags: 0,
    keyStart: 0,
    keyEnd: 0,
    valueStart: 0,
    valueEnd: 0,
    ttl: 0,
    contentType: '',
    contentEncoding: '',
    tag: '',
  };

  constructor(bytes: Uint8Array, kind: 'request' | 'response') {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.isResponse = kind === 'response';
    if (bytes[0] !== BATCH_VERSION) {
      throw new BatchFormatError(`A batch begins with its version, which is ${BATCH_VERSION}.`);
    }
  }

  /** @returns undefined at the end. */
  next(): BatchRecord | undefined {
    if (this.at === this.bytes.length) return undefined;
    const { record } = this;
    const valueBytes = this.isResponse ? this.responseHead(record) : this.requestHead(record);
    const keyBytes = record.keyEnd;
    this.optionalFields(record);
    record.keyStart = this.skip(keyBytes);
    record.keyEnd = this.at;
    record.valueStart = this.skip(valueBytes);
    record.valueEnd = this.at;
    return record;
  }

  /** Leaves the length of the key in `keyEnd`. @returns bytes of the value. */
  private requestHead(record: BatchRecord): number {
    const { view } = this;
    const at = this.skip(4);
    record.kind = view.getUint8(at);
    if (record.kind < GET || record.kind > HEAD) {
      throw new BatchFormatError(`Method ${record.kind} is none of 1 (GET), 2 (PUT), 3 (DELETE), 4 (HEAD).`);
    }
    record.flags = view.getUint8(at + 1);
    record.keyEnd = view.getUint16(at + 2);
    return record.kind === PUT ? view.getUint32(this.skip(4)) : 0;
  }

  private responseHead(record: BatchRecord): number {
    const { view } = this;
    const at = this.skip(7);
    record.kind = view.getUint16(at);
    record.flags = view.getUint8(at + 2);
    record.keyEnd = 0;
    return view.getUint32(at + 3);
  }

  private optionalFields(record: BatchRecord): void {
    const { flags } = record;
    record.ttl = flags & HAS_TTL ? this.view.getFloat64(this.skip(8)) : 0;
    record.contentType = flags & HAS_TYPE ? this.short() : '';
    record.contentEncoding = flags & HAS_ENCODING ? this.short() : '';
    record.tag = flags & HAS_TAG ? this.short() : '';
  }

  private short(): string {
    const length = this.view.getUint8(this.skip(1));
    const start = this.skip(length);
    return String.fromCharCode(...this.bytes.subarray(start, start + length));
  }

  /** @returns where the bytes begin that are skipped. */
  private skip(bytes: number): number {
    const start = this.at;
    this.at += bytes;
    if (this.at > this.bytes.length) throw new BatchFormatError('The batch ends in the middle of a record.');
    return start;
  }
}
