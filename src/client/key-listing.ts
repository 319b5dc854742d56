import { CacheError } from './errors.ts';
import { failureOf, retryDelayMs } from './retry-policy.ts';
import { GET } from '../api/batch-format.ts';

/** What `GET /keys` answers. */
export interface KeyPage {
  readonly keys: readonly string[];
  /** Null at the end. */
  readonly cursor: string | null;
}

/**
 * All keys with a prefix, a page at a time. A page that was refused is asked for again.
 * @param ask sends a GET.
 */
export async function* listKeys(
  prefix: string,
  ask: (path: string) => Promise<KeyPage>,
): AsyncGenerator<readonly string[], void, void> {
  let query = `prefix=${encodeURIComponent(prefix)}`;
  for (;;) {
    const { keys, cursor } = await askAgain(() => ask(`/keys?${query}`));
    yield keys;
    if (cursor === null) return;
    query = `prefix=${encodeURIComponent(prefix)}&cursor=${cursor}`;
  }
}

async function askAgain<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await ask();
    } catch (error) {
      const failure = error instanceof CacheError ? failureOf(error.status, error.code) : undefined;
      const delayMs = failure && retryDelayMs(GET, failure, attempts, 0, Math.random());
      if (delayMs === undefined) throw error;
      await new Promise((resolve) => {
        setTimeout(resolve, delayMs);
      });
    }
  }
}
