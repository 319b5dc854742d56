import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../base/errors.ts';
import { formatBytes } from '../base/byte-size.ts';
import { ROUTING_COUNTERS, SHARD_COUNTERS } from '../shared/counters.ts';

const TEN_YEARS_S = 10 * 365.25 * 24 * 3600;

export interface SchemaLimits {
  readonly maxKeyLength: number;
  readonly maxValueBytes: number;
}

function typeFault(input: unknown): string {
  return input === undefined ? ', and is missing' : ', and is no string';
}

/** In UTF-8 any other character takes more than one byte. Ten times as fast as a regular expression. */
function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

/** The schemas that validate requests; the OpenAPI document is made from the same ones. */
export function requestSchemas({ maxKeyLength, maxValueBytes }: SchemaLimits) {
  const keyRule = `must be 1 to ${maxKeyLength} printable ASCII characters (0x20 to 0x7E)`;
  const keyPattern = new RegExp(`^[\\x20-\\x7e]{1,${maxKeyLength}}$`);
  const key = z
    .string({ error: ({ input }) => keyRule + typeFault(input) })
    .regex(keyPattern, {
      error: ({ input }) => keyRule + keyFault(input),
    })
    .meta({
      description: 'The key: printable ASCII.',
      example: 'user:42',
      minLength: 1,
      maxLength: maxKeyLength,
    });
  function keyFault(input: unknown): string {
    if (input === '') return ', and is empty';
    return typeof input === 'string' && input.length > maxKeyLength ? ', and is longer' : '';
  }
  const valueRule = `must be a string of ASCII characters (0x00 to 0x7F) of at most ${formatBytes(maxValueBytes)}`;
  const value = z
    .string({ error: ({ input }) => valueRule + typeFault(input) })
    .max(maxValueBytes, `${valueRule}, and is longer`)
    .refine(isAscii, valueRule)
    .meta({
      description: 'The value: ASCII, kept byte for byte.',
      example: 'Ada',
      pattern: '^[\\x00-\\x7f]*$',
    });
  const ttlRule = 'must be a positive number of seconds, at most ten years; leave it out for no expiry';
  const ttl = z
    .number(ttlRule)
    .positive(ttlRule)
    .max(TEN_YEARS_S, ttlRule)
    .meta({ description: 'Seconds until the entry expires; fractions are allowed.', example: 60 });
  const schemas = {
    putBody: z.strictObject(
      { key, value, ttl: ttl.optional() },
      'must be a JSON object with key, value and, if wanted, ttl',
    ),
    keyInPath: z.object({ key }),
    keyInQuery: z.strictObject({ key }),
  };
  /** What nearly every request looks like, told in a tenth of the time. Whatever is left the schema judges. */
  const obvious = new Map<unknown, (data: unknown) => boolean>([
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
    return typeof text === 'string' && keyPattern.test(text);
  }
  function isValue(text: unknown): boolean {
    return typeof text === 'string' && text.length <= maxValueBytes && isAscii(text);
  }
  return { ...schemas, obvious };
}

interface KeyInPath {
  readonly key: unknown;
}

export type RequestSchemas = ReturnType<typeof requestSchemas>;

const okWithMessage = z.object({ status: z.literal('OK'), message: z.string() });

const count = z.int().nonnegative();
/** A property for each counter, described by its help. */
function countsOf<Name extends string>(
  counters: readonly { readonly name: Name; readonly help: string }[],
): Record<Name, z.ZodInt> {
  const properties = counters.map(({ name, help }) => [name, count.describe(help)] as const);
  return Object.fromEntries(properties) as Record<Name, z.ZodInt>;
}
const counts = countsOf(SHARD_COUNTERS);
const routing = countsOf(ROUTING_COUNTERS);
const shardState = z.enum(['starting', 'up', 'restarting', 'stopped']);

const stats = z.object({
  status: z.literal('OK'),
  version: z.string(),
  uptimeSeconds: count,
  totals: z.object({ ...counts, ...routing }),
  shards: z
    .array(z.object({ shard: count, state: shardState, ...routing, ...z.object(counts).partial().shape }))
    .describe('Counts begin anew with a shard that restarts, and are absent while it does not answer.'),
  memory: z.object({
    limitBytes: count,
    limitSource: z.enum(['MEMORY_LIMIT', 'cgroup v1', 'cgroup v2', 'machine']),
    residentBytes: count,
    usedBytes: count.describe('Resident, or what the control group counts less what the kernel can reclaim.'),
    usedShare: z.number(),
    threshold: z.number(),
    thresholdBytes: count,
    ceilingBytes: count.describe('What all shards together can never hold more than.'),
    heldBytes: count,
    orders: count,
    lastDecision: z
      .enum(['shed', 'below threshold', 'nothing held', 'not ours', 'at floor'])
      .describe(
        'Why shards are asked to shed or not. "not ours": used memory did not follow the last order down. ' +
          '"at floor": the cache holds less than half of what it could.',
      ),
    lastOrder: z.looseObject({ at: z.iso.datetime() }).nullable(),
  }),
  configuration: z.looseObject({}).describe('The settings in force.'),
});

export const responseSchemas = {
  stored: okWithMessage.describe('Stored.'),
  found: z.object({ status: z.literal('OK'), key: z.string(), value: z.string() }).describe('Found.'),
  deleted: z.null().describe('Deleted.'),
  cleared: z
    .object({ status: z.literal('OK'), removed: z.int() })
    .describe('Every shard was emptied of this many entries in all, expired ones that were still held too.'),
  health: z
    .object({
      status: z.literal('OK'),
      uptimeSeconds: count,
      shards: z.array(z.object({ shard: count, state: shardState, restarts: count })),
    })
    .describe('The process serves.'),
  ready: z.looseObject({ status: z.literal('OK') }).describe('Every shard is up.'),
  stats: stats.describe('Counters, memory and configuration.'),
};

/** Response schemas for the statuses that a route may fail with. */
export function errorResponses(...statuses: readonly number[]): Record<number, z.ZodType> {
  const schemas: Record<number, z.ZodType> = {};
  for (const status of statuses) {
    const codes = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => ERRORS[code] === status);
    schemas[status] = z
      .object({ status: z.literal('ERROR'), code: z.enum(codes), message: z.string() })
      .describe(`Failed: ${codes.join(', ')}.`);
  }
  return schemas;
}
