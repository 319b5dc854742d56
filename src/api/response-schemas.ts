import { z } from 'zod';
import { ERRORS, type ErrorCode } from './errors.ts';
import { CUT_OFFS, REFUSALS } from '../metrics/refusals.ts';
import {
  ROUTING_COUNTERS,
  SHARD_COUNTERS,
  SNAPSHOT_COUNTERS,
  TIER_COUNTERS,
} from '../shared/stats-counters.ts';

const okWithMessage = z.object({ status: z.literal('OK'), message: z.string() });

const count = z.int().nonnegative();
/** A property for each counter, described by its help. */
function countsOf<Name extends string>(
  counters: readonly { readonly name: Name; readonly help: string }[],
): Record<Name, z.ZodInt> {
  const properties = counters.map(({ name, help }) => [name, count.describe(help)] as const);
  return Object.fromEntries(properties) as Record<Name, z.ZodInt>;
}
/** Likewise, from a table of reasons and what they mean. */
function countsByReason<Name extends string>(reasons: Readonly<Record<Name, string>>) {
  const names = Object.keys(reasons) as Name[];
  return z.object(countsOf(names.map((name) => ({ name, help: reasons[name] }))));
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
    .describe('Counts start again from zero when a shard restarts, and are absent while it does not answer.'),
  memory: z.object({
    limitBytes: count,
    limitSource: z.enum(['MEMORY_LIMIT', 'cgroup v1', 'cgroup v2', 'cgroup v2 memory.high', 'machine']),
    residentBytes: count,
    usedBytes: count.describe(
      'Resident memory, or the usage of the control group without what the kernel can reclaim.',
    ),
    usedShare: z.number(),
    threshold: z.number(),
    thresholdBytes: count,
    ceilingBytes: count.describe('The most that all shards together may hold.'),
    heldBytes: count,
    orders: count,
    lastDecision: z
      .enum(['shed', 'below threshold', 'nothing held', 'not ours', 'at floor'])
      .describe(
        'Whether the shards were ordered to shed and, if not, why. "not ours": used memory did not fall after the last order. ' +
          '"at floor": the cache holds less than half of what it could.',
      ),
    lastOrder: z.looseObject({ at: z.iso.datetime() }).nullable(),
  }),
  snapshot: z
    .object(
      Object.fromEntries(
        SNAPSHOT_COUNTERS.map(({ name, help }) => [name, z.number().nonnegative().describe(help)]),
      ),
    )
    .describe('What was written to and read from `SNAPSHOT_FILE`.'),
  connections: z.object({
    open: count,
    waiting: count.describe('Those that wait for a place at the door.'),
    limit: count.describe('Those that may ask for anything. Further ones may only ask probes.'),
  }),
  refusals: countsByReason(REFUSALS).describe(
    'Requests that may be right and were refused all the same, since the start.',
  ),
  cutOffs: countsByReason(CUT_OFFS).describe(
    'Connections that the server closed and their clients would have kept, since the start.',
  ),
  tier: z
    .object({
      nearHits: count.describe('Reads that found a copy here, without asking the engine.'),
      ...countsOf(TIER_COUNTERS),
      nodes: z.array(z.object({ address: z.string(), isUp: z.boolean() })),
    })
    .optional()
    .describe('The engine behind the shards, where TIER_URL names one.'),
  configuration: z.looseObject({}).describe('The settings in force.'),
});

const inspection = z.object({
  status: z.literal('OK'),
  key: z.string(),
  shard: count,
  entry: z
    .object({
      keyBytes: count,
      valueBytes: count,
      entryBytes: count.describe('All that the entry takes, its share of the index left out.'),
      ttlSeconds: z.number().nonnegative().nullable().describe('Until it expires; null for never.'),
    })
    .nullable(),
});

/** @param id its name in the OpenAPI document. */
function json<Schema extends z.ZodType>(description: string, id: string, schema: Schema) {
  return { description, content: { 'application/json': { schema: schema.meta({ id }) } } };
}

const service = z.object({
  status: z.literal('OK'),
  name: z.string(),
  version: z.string(),
  description: z.string(),
  paths: z.array(z.string()).describe('Where entries are stored, read and deleted: `GET /cache/{key}`.'),
  links: z
    .object({
      dashboard: z.string(),
      docs: z.string(),
      openapi: z.string(),
      stats: z.string(),
      metrics: z.string(),
      health: z.string(),
      ready: z.string(),
    })
    .describe('Relative to where this was read.'),
});

export const responseSchemas = {
  stored: json('Stored.', 'Stored', okWithMessage),
  found: json('Found.', 'Entry', z.object({ status: z.literal('OK'), key: z.string(), value: z.string() })),
  deleted: z.null().describe('Deleted.'),
  rawCreated: z.null().describe('Stored, where there was no such entry. `ETag` names what is stored.'),
  rawReplaced: z.null().describe('Stored in the place of another entry. `ETag` names what is stored.'),
  batch: json(
    'An answer for each request, in their order.',
    'Batch',
    z.object({
      status: z.literal('OK'),
      responses: z.array(
        z.object({
          status: count,
          value: z.string().optional(),
          code: z.string().optional(),
          message: z.string().optional(),
        }),
      ),
    }),
  ),
  rawFound: {
    description: 'The bytes, with the type and encoding that they were stored with.',
    content: { '*/*': { schema: z.any() } },
  },
  turboStored: json('Stored.', 'TurboStored', z.object({ urls: z.array(z.string()) })),
  turboStatus: json('It may.', 'TurboStatus', z.object({ status: z.string() })),
  turboNoted: json('Taken.', 'TurboNoted', z.object({})),
  turboError: json(
    'Failed.',
    'TurboError',
    z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
  ),
  notModified: z.null().describe('The client has these bytes already.'),
  cleared: json(
    'All shards are empty. `removed` counts the entries, including expired ones that were still held.',
    'Cleared',
    z.object({ status: z.literal('OK'), removed: count }),
  ),
  keys: json(
    'Some of the keys. `cursor` asks for the next ones; null at the end. A page may have none, and not be the last.',
    'Keys',
    z.object({ status: z.literal('OK'), keys: z.array(z.string()), cursor: z.string().nullable() }),
  ),
  service: {
    description: 'What this service is, the paths of the cache, and links to other pages.',
    content: {
      'application/json': { schema: service.meta({ id: 'Service' }) },
      'text/html': { schema: z.string() },
    },
  },
  dashboard: { description: 'The page.', content: { 'text/html': { schema: z.string() } } },
  feed: { description: 'Server-sent events.', content: { 'text/event-stream': { schema: z.string() } } },
  inspection: json('What is known; `entry` is null where there is none.', 'Inspection', inspection),
  health: json(
    'The process serves.',
    'Health',
    z.object({
      status: z.literal('OK'),
      uptimeSeconds: count,
      shards: z.array(z.object({ shard: count, state: shardState, restarts: count })),
    }),
  ),
  ready: json('Every shard is up.', 'Ready', z.looseObject({ status: z.literal('OK') })),
  stats: json('Counters, memory and configuration.', 'Stats', stats),
  metrics: {
    description: 'The text format that Prometheus reads.',
    content: { 'text/plain': { schema: z.string() } },
  },
};

type ErrorResponse = ReturnType<typeof json>;

const ERROR_RESPONSES = new Map<number, ErrorResponse>();

/** The body of every failure with that status: all routes share it. */
function errorResponse(status: number): ErrorResponse {
  const known = ERROR_RESPONSES.get(status);
  if (known) return known;
  const codes = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => ERRORS[code] === status);
  const schema = z.object({ status: z.literal('ERROR'), code: z.enum(codes), message: z.string() });
  const response = json(`Failed: ${codes.join(', ')}.`, `Error${status}`, schema);
  ERROR_RESPONSES.set(status, response);
  return response;
}

/** @param statuses those that a route may fail with. */
export function errorResponses(...statuses: readonly number[]): Readonly<Record<number, ErrorResponse>> {
  return Object.fromEntries(statuses.map((status) => [status, errorResponse(status)]));
}
