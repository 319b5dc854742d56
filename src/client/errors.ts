import type { ErrorCode } from '../api/errors.ts';
import { isGateway } from './retry-policy.ts';

/** What the client itself finds, without an answer of the server's. */
export type ClientErrorCode =
  | 'CACHE_ERR_CLIENT_CONNECTION'
  | 'CACHE_ERR_CLIENT_TIMEOUT'
  | 'CACHE_ERR_CLIENT_CIRCUIT_OPEN'
  | 'CACHE_ERR_CLIENT_REPLY_INVALID'
  | 'CACHE_ERR_CLIENT_CLOSED';

/** A call failed. `code` is stable and for programs, `message` is for people. */
export class CacheError extends Error {
  override readonly name = 'CacheError';
  readonly code: ErrorCode | ClientErrorCode;
  /** Of the answer; 0 when there was none. */
  readonly status: number;

  constructor(code: ErrorCode | ClientErrorCode, message: string, status = 0, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
  }

  /** The cache could not be asked, or could not answer: what `onUnavailable: 'miss'` takes for a miss. */
  get isUnavailable(): boolean {
    return this.status === 0
      ? this.code !== 'CACHE_ERR_CLIENT_CLOSED'
      : this.status === 429 || isGateway(this.status);
  }
}
