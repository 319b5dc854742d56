import type { FastifyError } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import type { ErrorCode } from '../api/errors.ts';
import type { RequestSchemas } from '../api/request-schemas.ts';
import { type Failure, FailureError } from './failures.ts';

const CODE_OF_FIELD: Readonly<Record<string, ErrorCode>> = {
  key: 'CACHE_ERR_KEY_INVALID',
  value: 'CACHE_ERR_VALUE_INVALID',
  ttl: 'CACHE_ERR_TTL_INVALID',
};

const CODE_OF_PARAMETER: Readonly<Record<string, ErrorCode>> = {
  prefix: 'CACHE_ERR_KEY_INVALID',
  cursor: 'CACHE_ERR_REQUEST_INVALID',
};

const CODE_OF_FRAMEWORK_ERROR: Readonly<Record<string, Failure>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
    message: 'The content type must be application/json; send the header "Content-Type: application/json".',
  },
  FST_ERR_BAD_URL: {
    code: 'CACHE_ERR_REQUEST_INVALID',
    message: 'The URL is not valid, or its path not valid percent-encoding.',
  },
};

const MAX_NAMES = 8;
const MAX_NAME_LENGTH = 64;

/** What the client learns of an error that Fastify or a parser raised. */
export function failureOf(error: FastifyError): Failure {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation;
    return validationFailure(first.instancePath, first.keyword, first.message ?? '', first.params);
  }
  if (error instanceof FailureError) return error.failure;
  const known = CODE_OF_FRAMEWORK_ERROR[error.code];
  if (known) return known;
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return { code: 'CACHE_ERR_REQUEST_INVALID', message: 'The request could not be read.' };
  }
  return { code: 'CACHE_ERR_INTERNAL', message: 'Unexpected error.' };
}

/** What is wrong with a part of a request that Fastify does not validate. @param issue the first one that the schema found. */
export function failureOfIssue(issue: z.core.$ZodIssue): Failure {
  return validationFailure(`/${issue.path.join('/')}`, issue.code ?? '', issue.message, issue);
}

/** What is wrong with a key that is no parameter of a route. */
export function keyFailure(
  { keyInPath, fastPathValidators }: RequestSchemas,
  key: string,
): Failure | undefined {
  if (fastPathValidators.get(keyInPath)!({ key })) return undefined;
  const { error } = keyInPath.safeParse({ key });
  return error && failureOfIssue(error.issues[0]);
}

/** The answer stays short, whatever the number and length of the names. */
export function unknownNames(
  kind: 'property' | 'query parameter',
  names: readonly string[],
  known: readonly string[],
): Failure {
  const named = names.slice(0, MAX_NAMES).map((name) => JSON.stringify(name.slice(0, MAX_NAME_LENGTH)));
  if (names.length > MAX_NAMES) named.push(`and ${names.length - MAX_NAMES} more`);
  return {
    code: 'CACHE_ERR_UNKNOWN_PROPERTY',
    message: `Unknown ${kind} ${named.join(', ')}; ${whatIsKnown(known)}.`,
  };
}

function whatIsKnown(names: readonly string[]): string {
  if (names.length === 0) return 'this route has none';
  return `known ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}`;
}

function validationFailure(path: string, keyword: string, message: string, issue: unknown): Failure {
  if (keyword === 'unrecognized_keys') {
    return unknownNames('property', (issue as { keys: readonly string[] }).keys, Object.keys(CODE_OF_FIELD));
  }
  const field = path.slice(1);
  if (field === 'value' && keyword === 'too_big') {
    return { code: 'CACHE_ERR_VALUE_TOO_LARGE', message: `value ${message}.` };
  }
  const code = CODE_OF_FIELD[field] ?? CODE_OF_PARAMETER[field] ?? 'CACHE_ERR_BODY_INVALID';
  return { code, message: `${field || 'The body'} ${message}.` };
}
