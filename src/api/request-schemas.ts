import { z } from 'zod';
import { formatBytes } from '../config/byte-size.ts';

/** Ten years. */
export const MAX_TTL_S = 10 * 365.25 * 24 * 3600;

export interface SchemaLimits {
  readonly maxKeyLength: number;
  readonly maxValueBytes: number;
}

/** It gives no number of repetitions, because some generators of clients allow at most a thousand. */
const PRINTABLE = /^[\x20-\x7e]*$/;

function typeFault(input: unknown): string {
  if (input === undefined) return ', and is missing';
  // Only a query gives a key twice. An array in a body is just as wrong.
  return Array.isArray(input) ? ', and is given more than once' : ', and is no string';
}

const OTHER_CHARACTERS = ', and has other characters';
const NOT_POSITIVE = ', and is not positive';
const TOO_LARGE = ', and is too large';

/** A number in JSON that is too large for a double becomes infinite, which the schema does not count as a number. */
function numberFault(input: unknown): string {
  if (typeof input !== 'number') return ', and is no number';
  return input < 0 ? NOT_POSITIVE : TOO_LARGE;
}

/** In UTF-8 any other character takes more than one byte. This is ten times as fast as a regular expression. */
export function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

/** The schemas that validate requests. The OpenAPI document is made from them. */
export function requestSchemas({ maxKeyLength, maxValueBytes }: SchemaLimits) {
  const keyRule = `must be 1 to ${maxKeyLength} printable ASCII characters (0x20 to 0x7E)`;
  const key = z
    .string({ error: ({ input }) => keyRule + typeFault(input) })
    .min(1, `${keyRule}, and is empty`)
    .max(maxKeyLength, `${keyRule}, and is longer`)
    .regex(PRINTABLE, keyRule + OTHER_CHARACTERS)
    .meta({ description: 'The key: printable ASCII.', example: 'user:42' });
  const valueRule = `must be a string of ASCII characters (0x00 to 0x7F) of at most ${formatBytes(maxValueBytes)}`;
  const value = z
    .string({ error: ({ input }) => valueRule + typeFault(input) })
    .max(maxValueBytes, `${valueRule}, and is longer`)
    .refine(isAscii, valueRule + OTHER_CHARACTERS)
    .meta({
      description: 'The value: ASCII, kept byte for byte.',
      example: 'Ada',
      pattern: '^[\\x00-\\x7f]*$',
    });
  const ttlRule = 'must be a positive number of seconds, at most ten years; leave it out for no expiry';
  const ttl = z
    .number({ error: ({ input }) => ttlRule + numberFault(input) })
    .positive(ttlRule + NOT_POSITIVE)
    .max(MAX_TTL_S, ttlRule + TOO_LARGE)
    .meta({ description: 'Seconds until the entry expires; fractions are allowed.', example: 60 });
  const prefix = z
    .string({ error: ({ input }) => `must be printable ASCII characters${typeFault(input)}` })
    .max(maxKeyLength, `must be at most ${maxKeyLength} characters, and is longer`)
    .regex(PRINTABLE, `must be printable ASCII characters${OTHER_CHARACTERS}`)
    .meta({ description: 'What the keys begin with; without it all are listed.', example: 'user:' });
  const cursor = z
    .string({ error: ({ input }) => `must be the cursor of the last page${typeFault(input)}` })
    .regex(/^[0-9]{1,3}-[0-9]{1,16}$/, 'must be the cursor of the last page; leave it out for the first')
    .meta({ description: 'The `cursor` of the last page; without it the list begins.', example: '0-1024' });
  const schemas = {
    putBody: z.strictObject(
      { key, value, ttl: ttl.optional() },
      'must be a JSON object with key, value and, if wanted, ttl',
    ),
    keyInPath: z.object({ key }),
    keyAlone: z.strictObject({ key }),
    keyInQuery: z.object({ key }),
    keyListing: z.object({ prefix: prefix.default(''), cursor: cursor.default('0-0') }),
    optionalKeyInQuery: z.object({ key: key.optional() }),
  };
  /** Accept what nearly every request looks like, in a tenth of the time. The schema judges whatever they do not accept. */
  const fastPathValidators = new Map<unknown, (data: unknown) => boolean>([
    [schemas.keyInPath, (data) => isKey((data as KeyInPath).key)],
    [
      schemas.putBody,
      (data) => {
        if (typeof data !== 'object' || data === null || Object.keys(data).length !== 2) return false;
        const body = data as Readonly<Record<string, unknown>>;
        return Object.hasOwn(body, 'key') && isKey(body['key']) && isValue(body['value']);
      },
    ],
  ]);
  function isKey(text: unknown): boolean {
    return typeof text === 'string' && text !== '' && text.length <= maxKeyLength && PRINTABLE.test(text);
  }
  function isValue(text: unknown): boolean {
    return typeof text === 'string' && text.length <= maxValueBytes && isAscii(text);
  }
  const keyMissing = `key ${keyRule}${typeFault(undefined)}.`;
  return { ...schemas, fastPathValidators, keyMissing, maxKeyLength };
}

interface KeyInPath {
  readonly key: unknown;
}

export type RequestSchemas = ReturnType<typeof requestSchemas>;
