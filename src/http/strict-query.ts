import type { FastifyRequest } from 'fastify';
import { unknownNames } from './failure-of-error.ts';
import type { Failure } from './failures.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The parameters that a query may have. Without this, the query is ignored. */
    parameters?: readonly string[];
  }
}

const MALFORMED: Failure = {
  code: 'CACHE_ERR_REQUEST_INVALID',
  message: 'The query is not valid percent-encoding.',
};

/** What is wrong with the query of a URL that has one. The schema checks the values. */
export function faultOfQuery({ url, query, routeOptions }: FastifyRequest): Failure | undefined {
  const { parameters } = routeOptions.config;
  if (parameters === undefined) return undefined;
  // Fastify would take it literally, and the request would concern another key.
  if (!isWellEncoded(url.slice(url.indexOf('?')))) return MALFORMED;
  const unknown = Object.keys(query as object).filter((name) => !parameters.includes(name));
  return unknown.length > 0 ? unknownNames('query parameter', unknown, parameters) : undefined;
}

function isWellEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
