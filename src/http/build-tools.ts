import type { ErrorCode } from '../api/errors.ts';
import { plainAnswer, renderAnswer } from './write-answer.ts';
import { renderFailure } from './failures.ts';
import { type Dialect, PLAIN_DIALECT } from './raw-exchanges.ts';

/** Of Nx: any other status than 200, 401, 403, 404 and 409 fails a build. */
export const NX_DIALECT: Dialect = {
  ...PLAIN_DIALECT,
  stored: () => plainAnswer(200, ''),
  failed: ({ code, message }, method) => {
    // Nx shows this message only if the type is just this.
    if (code === 'CACHE_ERR_UNAUTHORIZED') return plainAnswer(401, message);
    if (method !== 'PUT') return plainAnswer(404, message);
    // The condition is ours: Nx has sent none.
    if (code === 'CACHE_ERR_PRECONDITION_FAILED') return plainAnswer(409, 'It is there already.');
    return plainAnswer(403, message);
  },
};

const ACCESS_CODES: ReadonlySet<ErrorCode> = new Set(['CACHE_ERR_UNAUTHORIZED', 'CACHE_ERR_FORBIDDEN']);

/** Of the keys of Nx's artifacts. */
export const NX_PREFIX = 'v1/cache/';

/** Of the keys of Turborepo's artifacts. */
export const TURBO_PREFIX = 'v8/artifacts/';

/** Of Turborepo: it asks again after a 5xx, and waits for that. Its errors are in `error`. */
export const TURBO_DIALECT: Dialect = {
  ...PLAIN_DIALECT,
  stored: (_isNew, _tag, key) => renderAnswer(200, { urls: [key.slice(TURBO_PREFIX.length)] }),
  failed: ({ code, message }, method) => {
    const isMiss = method !== 'PUT' && !ACCESS_CODES.has(code);
    const { status } = renderFailure(isMiss ? 'CACHE_ERR_KEY_NOT_FOUND' : code, '');
    return renderAnswer(status, { error: { code, message } });
  },
  headers: ({ headers: [duration, tag] }) => [
    ...(duration === '' ? [] : ['x-artifact-duration', duration]),
    ...(tag === '' ? [] : ['x-artifact-tag', tag]),
  ],
};

/** The dialect of a path, for answers that are given before its route has been found. */
export function dialectOfPath(path: string): Dialect {
  if (path.startsWith(NX_PREFIX, 1)) return NX_DIALECT;
  return path.startsWith(TURBO_PREFIX, 1) ? TURBO_DIALECT : PLAIN_DIALECT;
}
