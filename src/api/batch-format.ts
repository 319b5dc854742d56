import {
  BATCH_VERSION,
  CREATE_ONLY,
  type DELETE,
  type GET,
  HAS_ENCODING,
  HAS_TAG,
  HAS_TTL,
  HAS_TYPE,
  type HEAD,
  IS_TEXT,
  PUT,
  RESPONSE_HEAD_BYTES,
  responseEnd,
  textAt,
  u16At,
  u32At,
} from '../shared/batch-records.ts';

export {
  CREATE_ONLY,
  DELETE,
  GET,
  HAS_TTL,
  HEAD,
  IS_ERROR,
  IS_TEXT,
  MAX_BATCH_BYTES,
  MAX_BATCH_REQUESTS,
  PUT,
} from '../shared/batch-records.ts';

/**
 * How clients write and read the binary form of `POST /batch`: see `batch-records.ts`. Runs in browsers, too: no Node here.
 */
export const BATCH_TYPE = 'application/vnd.key-value-cache.batch';

const MAX_TEXT_BYTES = 255;
const MAX_KEY_BYTES = 0xffff;
/** Up to here a loop over the characters is quicker than an encoder. */
const SHORT_TEXT = 48;
const MIN_BUFFER_BYTES = 4096;
/** Most bytes of a record before its texts, key and value. */
const MAX_HEAD_BYTES = 16;

export type BatchMethod = typeof GET | typeof PUT | typeof DELETE | typeof HEAD;

export interface BatchRequest {
  readonly method: BatchMethod;
  readonly key: string;
  /** Of a PUT. A string is sent as UTF-8, and kept as text. */
  readonly value?: string | Uint8Array | undefined;
  /** Seconds. */
  readonly ttl?: number | undefined;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly createOnly?: boolean;
  /** Whether the answer is to have the entity tag. */
  readonly wantsTag?: boolean;
}

/** Where the parts of one record of an answer lie in the bytes that it was read from. */
export interface BatchRecord {
  status: number;
  flags: number;
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

/** Text as bytes in UTF-8. Each platform has its own fastest way. */
export interface TextCodec {
  readonly allocate: (bytes: number) => Uint8Array<ArrayBuffer>;
  /** @param bytes made by `allocate`, with room for the text. @returns how many it takes. */
  readonly write: (bytes: Uint8Array, at: number, text: string) => number;
  /** @param bytes as they came from the platform. */
  readonly read: (bytes: Uint8Array, start: number, end: number) => string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** For all platforms. */
export const WEB_CODEC: TextCodec = {
  allocate: (bytes) => new Uint8Array(bytes),
  write: (bytes, at, text) => encoder.encodeInto(text, bytes.subarray(at)).written,
  read: (bytes, start, end) => decoder.decode(bytes.subarray(start, end)),
};

/** Writes batches, one after the other, into memory that is used again. */
export class BatchWriter {
  private readonly codec: TextCodec;
  private bytes: Uint8Array<ArrayBuffer>;
  private length = 0;

  constructor(codec: TextCodec = WEB_CODEC) {
    this.codec = codec;
    this.bytes = codec.allocate(MIN_BUFFER_BYTES);
  }

  get byteLength(): number {
    return this.length;
  }

  /** @throws RangeError for a key of more than 65,535 bytes and for other texts of more than 255; nothing is added then. */
  add(request: BatchRequest): void {
    this.begin();
    const start = this.length;
    try {
      this.addRecord(request, start);
    } catch (error) {
      // Half a record would shift all that follow.
      this.length = start;
      throw error;
    }
  }

  /** The batch in memory of its own; the writer is empty afterwards. */
  take(): Uint8Array<ArrayBuffer> {
    this.begin();
    const batch = this.codec.allocate(this.length);
    batch.set(this.bytes.subarray(0, this.length));
    this.length = 0;
    return batch;
  }

  private addRecord(request: BatchRequest, start: number): void {
    const { method, key, ttl, contentType = '', contentEncoding = '' } = request;
    checkText(contentType);
    checkText(contentEncoding);
    const flags = flagsOf(request);
    this.reserve(MAX_HEAD_BYTES + contentType.length + contentEncoding.length);
    this.length += method === PUT ? 8 : 4;
    if (ttl !== undefined) {
      new DataView(this.bytes.buffer, this.bytes.byteOffset).setFloat64(this.length, ttl);
      this.length += 8;
    }
    if (flags & HAS_TYPE) this.addShort(contentType);
    if (flags & HAS_ENCODING) this.addShort(contentEncoding);
    const keyBytes = this.addText(key);
    if (keyBytes > MAX_KEY_BYTES) {
      throw new RangeError(`A key has at most ${MAX_KEY_BYTES} bytes; this one has ${keyBytes}.`);
    }
    const valueBytes = method === PUT ? this.addValue(request.value ?? '') : 0;
    const { bytes } = this;
    bytes[start] = method;
    bytes[start + 1] = flags;
    bytes[start + 2] = keyBytes >>> 8;
    bytes[start + 3] = keyBytes;
    if (method !== PUT) return;
    bytes[start + 4] = valueBytes >>> 24;
    bytes[start + 5] = valueBytes >>> 16;
    bytes[start + 6] = valueBytes >>> 8;
    bytes[start + 7] = valueBytes;
  }

  private begin(): void {
    if (this.length === 0) this.bytes[this.length++] = BATCH_VERSION;
  }

  private addShort(text: string): void {
    this.bytes[this.length++] = text.length;
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
    this.reserve(text.length * 3);
    if (text.length <= SHORT_TEXT && this.addAscii(text)) return text.length;
    const written = this.codec.write(this.bytes, this.length, text);
    this.length += written;
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
    const grown = this.codec.allocate(Math.max(wanted, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

function checkText(text: string): void {
  if (text.length > MAX_TEXT_BYTES) {
    throw new RangeError(`A header has at most ${MAX_TEXT_BYTES} characters; this one has ${text.length}.`);
  }
}

function flagsOf(request: BatchRequest): number {
  return (
    (request.ttl === undefined ? 0 : HAS_TTL) |
    (request.contentType ? HAS_TYPE : 0) |
    (request.contentEncoding ? HAS_ENCODING : 0) |
    (request.wantsTag ? HAS_TAG : 0) |
    (request.createOnly ? CREATE_ONLY : 0) |
    (typeof request.value === 'string' ? IS_TEXT : 0)
  );
}

/**
 * Reads the records of an answer one by one. The record that `next` returns is the same object each time: take from it what
 * is wanted before the next call.
 * @throws BatchFormatError from the constructor and from `next`.
 */
export class BatchReader {
  private readonly bytes: Uint8Array;
  private at = 1;
  private readonly record: BatchRecord = {
    status: 0,
    flags: 0,
    valueStart: 0,
    valueEnd: 0,
    ttl: 0,
    contentType: '',
    contentEncoding: '',
    tag: '',
  };

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    if (bytes[0] !== BATCH_VERSION) {
      throw new BatchFormatError(`A batch begins with its version, which is ${BATCH_VERSION}.`);
    }
  }

  /** @returns undefined at the end. */
  next(): BatchRecord | undefined {
    const { bytes, at, record } = this;
    if (at === bytes.length) return undefined;
    const end = responseEnd(bytes, at);
    // NaN where a field lies beyond the end.
    if (!(end <= bytes.length)) throw new BatchFormatError('The batch ends in the middle of a record.');
    const flags = bytes[at + 2];
    record.status = u16At(bytes, at);
    record.flags = flags;
    record.valueStart = end - u32At(bytes, at + 3);
    record.valueEnd = end;
    if (flags & (HAS_TTL | HAS_TYPE | HAS_ENCODING | HAS_TAG))
      this.readFields(record, at + RESPONSE_HEAD_BYTES);
    else clearFields(record);
    this.at = end;
    return record;
  }

  private readFields(record: BatchRecord, from: number): void {
    const { bytes } = this;
    clearFields(record);
    const { flags } = record;
    let at = from;
    if (flags & HAS_TTL) {
      record.ttl = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(at);
      at += 8;
    }
    const short = (): string => {
      const start = at + 1;
      at = start + bytes[at];
      return textAt(bytes, start, at);
    };
    if (flags & HAS_TYPE) record.contentType = short();
    if (flags & HAS_ENCODING) record.contentEncoding = short();
    if (flags & HAS_TAG) record.tag = short();
  }
}

function clearFields(record: BatchRecord): void {
  record.ttl = 0;
  record.contentType = '';
  record.contentEncoding = '';
  record.tag = '';
}
