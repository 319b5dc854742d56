export interface CacheClientOptions {
  /** `AUTH_TOKEN` of the server. */
  readonly token?: string;
  /** The most that any call takes, in ms, all attempts and waits included. 2,000. */
  readonly timeoutMs?: number;
  /** Connections, each with one batch in flight, and with keys of its own. With one, batches are largest. 1. */
  readonly connections?: number;
  /** Whether what is asked in one turn leaves together. Yes. */
  readonly batching?: boolean;
  /**
   * What a call does when the cache cannot be reached or is overloaded: `throw` a CacheError, or go on as if the entry was
   * not there (`miss`); then writes do nothing. `throw`.
   */
  readonly onUnavailable?: 'throw' | 'miss';
}

const DEFAULT_TIMEOUT_MS = 2000;
const DEFAULT_CONNECTIONS = 1;
/** A timer takes no more. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** Also after `localhost:7171`, where `localhost:` would be the scheme. */
const SCHEME = /^https?:$/;
const PRINTABLE = /^[\x20-\x7e]*$/;

/**
 * The options with their defaults.
 * @throws TypeError or RangeError for one that is not valid: calls would fail with stranger errors later.
 */
export function checkedOptions(options: CacheClientOptions): Required<Omit<CacheClientOptions, 'token'>> & {
  readonly token: string | undefined;
} {
  const {
    token,
    timeoutMs = DEFAULT_TIMEOUT_MS,
    connections = DEFAULT_CONNECTIONS,
    batching = true,
    onUnavailable = 'throw',
  } = options;
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new RangeError(`timeoutMs must be more than 0 and at most ${MAX_TIMEOUT_MS}; it is ${timeoutMs}.`);
  }
  if (!Number.isInteger(connections) || connections < 1) {
    throw new RangeError(`connections must be a whole number of at least 1; it is ${connections}.`);
  }
  if (onUnavailable !== 'throw' && onUnavailable !== 'miss') {
    throw new TypeError(`onUnavailable must be 'throw' or 'miss'; it is ${String(onUnavailable)}.`);
  }
  if (token !== undefined && !PRINTABLE.test(token)) {
    throw new TypeError('token must be printable ASCII: it may have a line break at its end.');
  }
  return { token, timeoutMs, connections, batching, onUnavailable };
}

/** @throws TypeError for what is no URL of a server. */
export function checkedUrl(text: string | URL): URL {
  const url = new URL(text);
  if (!SCHEME.test(url.protocol)) {
    throw new TypeError(`The URL must begin with http:// or https://; it is ${String(text)}`);
  }
  return url;
}
