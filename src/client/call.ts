import {
  type BatchMethod,
  type BatchRecord,
  type BatchRequest,
  GET,
  HAS_TTL,
  HEAD,
} from '../api/batch-format.ts';
import { TEXT_CODEC } from '#http-transport';
import { CacheError } from './errors.ts';
import { MAX_BATCHED_BYTES } from './batch-limits.ts';

/** What a call makes of its answer. None of it throws: the other calls of the batch would fail with it. */
export interface Reading<T> {
  /** @param bytes in which the record is good until it returns. */
  readonly read: (record: BatchRecord, bytes: Uint8Array) => T;
  /** Of an entry that is not there. */
  readonly missing: T;
}

export interface Found {
  readonly text: string;
  /** Infinity for an entry that does not expire. */
  readonly leftMs: number;
}

const text = ({ valueStart, valueEnd }: BatchRecord, bytes: Uint8Array): string =>
  TEXT_CODEC.read(bytes, valueStart, valueEnd);

export const TEXT: Reading<string | undefined> = { read: text, missing: undefined };
/** In memory of its own: the answer may hold a thousand values. */
export const BYTES: Reading<Uint8Array | undefined> = {
  read: ({ valueStart, valueEnd }, bytes) => new Uint8Array(bytes.subarray(valueStart, valueEnd)),
  missing: undefined,
};
export const FOUND: Reading<Found | undefined> = {
  read: (record, bytes) => ({
    text: text(record, bytes),
    leftMs: (record.flags & HAS_TTL) === 0 ? Infinity : record.ttl * 1000,
  }),
  missing: undefined,
};
export const DONE: Reading<void> = { read: () => undefined, missing: undefined };
export const WAS_THERE: Reading<boolean> = { read: () => true, missing: false };

export interface CallRequest {
  readonly method: BatchMethod;
  readonly key: string;
  readonly value?: string | Uint8Array | undefined;
  readonly ttl?: number | undefined;
}

const encoder = new TextEncoder();
const NOT_FOUND = 404;
const MAX_BYTES_PER_CHARACTER = 3;

/** One call of the client: a request of a batch, and who waits for its answer. It settles once. */
export class Call implements BatchRequest {
  readonly method: BatchMethod;
  readonly key: string;
  readonly value: string | Uint8Array | undefined;
  readonly ttl: number | undefined;
  deadlineMs = 0;
  attempts = 0;
  isSettled = false;
  /** Whether it is sent by itself, since its value is too large for a batch. */
  isAlone: boolean;
  private readonly reading: Reading<unknown>;
  private readonly takesMisses: boolean;
  private resolve!: (value: unknown) => void;
  private reject!: (reason: unknown) => void;
  /** Where it may be aborted. */
  private signal: AbortSignal | undefined;

  constructor({ method, key, value, ttl }: CallRequest, reading: Reading<unknown>, takesMisses: boolean) {
    this.method = method;
    this.key = key;
    this.value = value;
    this.ttl = ttl;
    this.reading = reading;
    this.takesMisses = takesMisses;
    this.isAlone = value !== undefined && isTooLong(value);
  }

  get isRead(): boolean {
    return this.method === GET || this.method === HEAD;
  }

  /** @returns what the caller waits for. To be called once. */
  begin(signal: AbortSignal | undefined): Promise<unknown> {
    const promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    if (signal) {
      this.signal = signal;
      // Listeners as objects: no closure for each call, and still one that can be removed.
      signal.addEventListener('abort', this, { once: true });
    }
    return promise;
  }

  succeed(record: BatchRecord, bytes: Uint8Array): void {
    if (this.isSettled) return;
    this.end();
    const { reading } = this;
    this.resolve(record.status === NOT_FOUND ? reading.missing : reading.read(record, bytes));
  }

  fail(reason: unknown): void {
    if (this.isSettled) return;
    this.end();
    if (this.takesMisses && reason instanceof CacheError && reason.isUnavailable) {
      this.resolve(this.reading.missing);
    } else {
      this.reject(reason);
    }
  }

  /** The signal has been aborted. */
  handleEvent(): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.reject(this.signal!.reason);
  }

  private end(): void {
    this.isSettled = true;
    this.signal?.removeEventListener('abort', this);
  }
}

function isTooLong(value: string | Uint8Array): boolean {
  if (value.length > MAX_BATCHED_BYTES) return true;
  if (typeof value !== 'string' || value.length * MAX_BYTES_PER_CHARACTER <= MAX_BATCHED_BYTES) return false;
  return encoder.encode(value).length > MAX_BATCHED_BYTES;
}
