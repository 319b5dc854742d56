/**
 * Every figure of a shard that `/stats` shows: one table, from which types, totals and schemas derive.
 *
 * A `counter` only grows, and starts from zero when a shard restarts. A `gauge` goes up and down.
 */
export interface Counter {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly unit:
    | 'entries'
    | 'bytes'
    | 'requests'
    | 'orders'
    | 'restarts'
    | 'seconds'
    | 'snapshots'
    | 'failures'
    | 'sections';
  /** What the figure of all shards is; the sum when absent. */
  readonly total?: 'max';
}

/** Counted by the shard's thread. */
export const SHARD_COUNTERS = [
  { name: 'entries', kind: 'gauge', unit: 'entries', help: 'Entries held.' },
  { name: 'liveBytes', kind: 'gauge', unit: 'bytes', help: 'Keys, values and their headers.' },
  {
    name: 'reservedBytes',
    kind: 'gauge',
    unit: 'bytes',
    help: 'Blocks, slots and index, as taken from the system.',
  },
  { name: 'hits', kind: 'counter', unit: 'requests', help: 'Reads that found their entry.' },
  { name: 'misses', kind: 'counter', unit: 'requests', help: 'Reads that found no entry.' },
  { name: 'puts', kind: 'counter', unit: 'requests', help: 'Entries stored.' },
  { name: 'deletes', kind: 'counter', unit: 'requests', help: 'Entries removed by their key.' },
  {
    name: 'cleared',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries removed by `DELETE /cache`, including expired ones that were still held.',
  },
  {
    name: 'evicted',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries evicted at the ceiling or by CAPACITY, the least recently used of their shard.',
  },
  {
    name: 'evictedUnread',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries evicted, or shed by an order, that were never read since they were put.',
  },
  {
    name: 'oldestAgeSeconds',
    kind: 'gauge',
    unit: 'seconds',
    total: 'max',
    help:
      'For how long the least recently used entry has been neither read nor put, at least. ' +
      'The true time may be up to twice as long.',
  },
  {
    name: 'expired',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries removed because their ttl had passed.',
  },
  { name: 'shedOrders', kind: 'counter', unit: 'orders', help: 'Shed orders received.' },
  {
    name: 'shedEntries',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries that shed orders evicted, without those that had expired.',
  },
  {
    name: 'shedBytes',
    kind: 'counter',
    unit: 'bytes',
    help: 'Bytes of the entries that shed orders evicted.',
  },
  {
    name: 'loaded',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries read from the snapshot file.',
  },
] as const satisfies readonly Counter[];

/** Counted by the main thread, for each shard. */
export const ROUTING_COUNTERS = [
  { name: 'restarts', kind: 'counter', unit: 'restarts', help: 'Threads that took the place of a dead one.' },
  {
    name: 'inFlight',
    kind: 'gauge',
    unit: 'requests',
    help: 'Requests that the shard has not answered yet.',
  },
  {
    name: 'busyRejections',
    kind: 'counter',
    unit: 'requests',
    help: 'Requests refused because the queue of the shard was full.',
  },
] as const satisfies readonly Counter[];

/** Counted by the main thread, where `SNAPSHOT_FILE` is set; else all are 0. */
export const SNAPSHOT_COUNTERS = [
  { name: 'snapshots', kind: 'counter', unit: 'snapshots', help: 'Snapshots written.' },
  {
    name: 'snapshotFailures',
    kind: 'counter',
    unit: 'failures',
    help: 'Snapshots that could not be written. The file before stayed.',
  },
  {
    name: 'snapshotTimeSeconds',
    kind: 'gauge',
    unit: 'seconds',
    help: 'When the last snapshot was written, in seconds since the epoch; 0 for never.',
  },
  { name: 'snapshotEntries', kind: 'gauge', unit: 'entries', help: 'Entries of the last snapshot.' },
  { name: 'snapshotBytes', kind: 'gauge', unit: 'bytes', help: 'Length of the file of the last snapshot.' },
  {
    name: 'snapshotDurationSeconds',
    kind: 'gauge',
    unit: 'seconds',
    help: 'How long the last snapshot took.',
  },
  {
    name: 'snapshotLoadSeconds',
    kind: 'gauge',
    unit: 'seconds',
    help: 'How long the snapshot of the start took to read; 0 until then, or where there was none.',
  },
  {
    name: 'snapshotSupersededEntries',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries of that snapshot that were put or removed since the start.',
  },
  {
    name: 'snapshotExpiredEntries',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries of that snapshot whose ttl had passed.',
  },
  {
    name: 'snapshotKeptOutEntries',
    kind: 'counter',
    unit: 'entries',
    help: 'Entries of that snapshot for which there was no room, the least recently used.',
  },
  {
    name: 'snapshotDamagedSections',
    kind: 'counter',
    unit: 'sections',
    help: 'Sections of that snapshot that were not whole.',
  },
] as const satisfies readonly Counter[];

export type SnapshotFigures = Record<(typeof SNAPSHOT_COUNTERS)[number]['name'], number>;

export function noSnapshotFigures(): SnapshotFigures {
  return Object.fromEntries(SNAPSHOT_COUNTERS.map(({ name }) => [name, 0])) as SnapshotFigures;
}

/** Counted by the shard's thread where there is an engine behind it. */
export const TIER_COUNTERS = [
  {
    name: 'hits',
    kind: 'counter',
    unit: 'requests',
    help: 'Reads that asked the engine, and found an entry there.',
  },
  { name: 'misses', kind: 'counter', unit: 'requests', help: 'Reads that asked the engine, and found none.' },
  {
    name: 'fetches',
    kind: 'counter',
    unit: 'requests',
    help: 'Times that the engine was asked: many reads may wait for one answer.',
  },
  { name: 'writes', kind: 'counter', unit: 'requests', help: 'Writes that the engine has answered.' },
  {
    name: 'failures',
    kind: 'counter',
    unit: 'requests',
    help: 'Requests that failed, since the engine was gone or refused them.',
  },
  {
    name: 'invalidations',
    kind: 'counter',
    unit: 'requests',
    help: 'Keys that the engine has announced as changed, whether or not there was a copy.',
  },
  {
    name: 'flushes',
    kind: 'counter',
    unit: 'requests',
    help: 'Times that all copies were dropped, since a change may have been missed or all entries were deleted.',
  },
] as const satisfies readonly Counter[];

export type TierCounterName = (typeof TIER_COUNTERS)[number]['name'];
export type ShardCounterName = (typeof SHARD_COUNTERS)[number]['name'];

/** A shard's answer to a `stats` message. */
export type ShardStats = Readonly<Record<ShardCounterName, number>>;
