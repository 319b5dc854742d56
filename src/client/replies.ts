import { TEXT_CODEC } from '#http-transport';
import { CacheError } from './errors.ts';
import type { Reply } from './transport.ts';

/** @returns undefined for what is no JSON object. */
export function jsonOf({ body }: Reply): Readonly<Record<string, unknown>> | undefined {
  try {
    const json: unknown = JSON.parse(TEXT_CODEC.read(body, 0, body.length));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    // Not from a cache: from a proxy before it, perhaps.
    return undefined;
  }
}

/** What an answer says that is not the one hoped for. */
export function errorOf(reply: Reply): CacheError {
  const { code, message } = jsonOf(reply) ?? {};
  if (typeof code === 'string' && typeof message === 'string') {
    return new CacheError(code as CacheError['code'], message, reply.status);
  }
  return new CacheError(
    'CACHE_ERR_CLIENT_REPLY_INVALID',
    'The answer is not one of a key-value-cache.',
    reply.status,
  );
}
