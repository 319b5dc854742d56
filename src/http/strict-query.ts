import type { FastifyRequest } from 'fastify';
import { unknownNames } from './failure-of-error.ts';
import type { Failure } from './failures.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The names of all that a query may have in it. Where absent, the query is ignored. */
    parameters?: readonly string[];
  }
}

const MALFORMED: Failure = {
  code: 'CACHE_ERR_REQUEST_INVALID',
  message: 'The query is not valid percent-encoding.',
};

/** What is wrong with a query, of a URL that has one, apart from the values in it. */
export function faultOfQuery({ url, query, routeOptions }: FastifyRequest): Failure | undefined {
  const { parameters } = routeOptions.config;
  if (parameters === undefined) return undefined;
  // Fastify takes it literally, and another key would be meant.
  if (!isWellEncoded(url.slice(url.indexOf('?')))) return MALFORMED;
  const unknown = Object.keys(query as object).filter((name) => !parameters.includes(name));
  return unknown.length > 0 ? unknownNames(unknown) : undefined;
}

function isWellEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
