import { CacheError } from './errors.ts';
import { retryDelayMs } from './retry-policy.ts';
import { GET } from '../api/batch-format.ts';

/** What `GET /keys` answers. */
export interface KeyPage {
  readonly keys: readonly string[];
  /** Null at the end. */
  readonly cursor: string | null;
}

/**
 * All keys with a prefix, a page at a time. A page that did not come is asked for again.
 * @param ask sends a GET, and waits no longer than `leftMs`.
 * @param timeoutMs for a page.
 */
export async function* listKeys(
  prefix: string,
  ask: (path: string, leftMs: number) => Promise<KeyPage>,
  timeoutMs: number,
): AsyncGenerator<readonly string[], void, void> {
  let query = `prefix=${encodeURIComponent(prefix)}`;
  const askForPage = (leftMs: number): Promise<KeyPage> => ask(`/keys?${query}`, leftMs);
  for (;;) {
    const { keys, cursor } = await askAgain(askForPage, timeoutMs);
    yield keys;
    if (cursor === null) return;
    query = `prefix=${encodeURIComponent(prefix)}&cursor=${cursor}`;
  }
}

async function askAgain<T>(ask: (leftMs: number) => Promise<T>, timeoutMs: number): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (let attempts = 1; ; attempts++) {
    const leftMs = deadlineMs - performance.now();
    try {
      return await ask(leftMs);
    } catch (error) {
      if (!(error instanceof CacheError && error.isUnavailable)) throw error;
      const delayMs = retryDelayMs(GET, 'unknown', attempts, 0, Math.random());
      if (delayMs === undefined || performance.now() + delayMs >= deadlineMs) throw error;
      await new Promise((resolve) => {
        setTimeout(resolve, delayMs);
      });
    }
  }
}
