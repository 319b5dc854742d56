import { type BatchRecord, DELETE, GET, HAS_TTL, PUT } from '../api/batch-format.ts';
import { MAX_BATCHED_BYTES } from './batch-limits.ts';
import type { Call } from './call.ts';
import { CacheError } from './errors.ts';
import type { HttpRequest } from './transport.ts';

const MAX_REMEMBERED = 1000;

const encoder = new TextEncoder();

/** Keys that every path carries as they are. */
const PLAIN_KEY = /^[\w:~-][\w:.~-]*$/;

/** Whether a call that is alone in its batch is quicker as a GET: it is smaller, and its answer comes as it is stored. */
export function isPlainRead({ method, key }: Call): boolean {
  return method === GET && PLAIN_KEY.test(key);
}

/** Such a call. */
export function plainRead({ key }: Call): HttpRequest {
  return { method: 'GET', path: `/kv/${key}`, isAside: false };
}

/**
 * A call by itself, as `/kv/` takes it: for values that are too large for a batch.
 * @throws CacheError for a key that cannot stand in a path.
 */
export function requestAlone({ method, key, value = '', ttl }: Call): HttpRequest {
  const path = `/kv/${encodedKey(key)}`;
  if (method !== PUT) return { method: method === DELETE ? 'DELETE' : 'GET', path, isAside: true };
  return {
    method: 'PUT',
    isAside: true,
    // Whole milliseconds, without an exponent.
    path: ttl === undefined ? path : `${path}?ttl=${ttl.toFixed(3)}`,
    contentType: typeof value === 'string' ? 'text/plain' : 'application/octet-stream',
    body: typeof value === 'string' ? encoder.encode(value) : new Uint8Array(value),
  };
}

function encodedKey(key: string): string {
  // These would name another path.
  if (key !== '.' && key !== '..' && key.isWellFormed()) return encodeURIComponent(key);
  const message = 'key must not be . or .. for a value of more than 1 MiB, and printable ASCII.';
  throw new CacheError('CACHE_ERR_KEY_INVALID', message, 400);
}

/** Keys whose values are known to be too large for a batch: so they are not asked for by one in vain. */
export class LargeKeys {
  private readonly keys = new Set<string>();

  add(key: string): void {
    if (this.keys.size >= MAX_REMEMBERED) this.keys.clear();
    this.keys.add(key);
  }

  /** @param readBytes of the answer to a read by itself. */
  note({ key, method }: Call, readBytes: number): void {
    if (method === PUT) this.add(key);
    else if (readBytes <= MAX_BATCHED_BYTES) this.keys.delete(key);
  }

  isReadOf({ key, method }: Call): boolean {
    return method === GET && this.keys.size > 0 && this.keys.has(key);
  }
}

/** An answer of `/kv/`, as if it were a record of a batch. */
export function recordOf(status: number, ttl: number, body: Uint8Array): BatchRecord {
  return {
    status,
    flags: ttl > 0 ? HAS_TTL : 0,
    valueStart: 0,
    valueEnd: body.length,
    ttl,
    contentType: '',
    contentEncoding: '',
    tag: '',
  };
}
