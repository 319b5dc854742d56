import { processors } from './processors.ts';

/** Each shard may keep one place of CAPACITY that the others cannot use. With this minimum, that is one in a thousand. */
const MIN_CAPACITY_PER_SHARD = 1000;

/** Most shards, and most HTTP threads. */
export const MAX_THREADS = 64;
/** A shard has time for four HTTP threads: see docs/scaling.md. */
const PROCESSORS_PER_SHARD = 5;

/** How many shards there are where SHARDS does not say. */
export function defaultShards(processorCount: number, capacity: number): number {
  const max = capacity > 0 ? Math.floor(capacity / MIN_CAPACITY_PER_SHARD) : MAX_THREADS;
  return Math.max(1, Math.min(MAX_THREADS, Math.ceil(processorCount / PROCESSORS_PER_SHARD), max));
}

/** Each HTTP thread takes 25 MiB, and room for its heap to grow: all together take no more than an eighth of memory. */
const MIN_MEMORY_PER_FRONT = 512 * 2 ** 20;

/** How many HTTP threads there are where FRONTS does not say: one for each processor that no shard has. */
export function defaultFronts(processorCount: number, shards: number, memoryBytes: number): number {
  const max = Math.min(MAX_THREADS, Math.floor(memoryBytes / MIN_MEMORY_PER_FRONT));
  return Math.max(1, Math.min(max, processorCount - shards));
}

/** How many HTTP threads there are beside the main thread. Of several, one is spare: see ADR 67. */
export function furtherFronts(fronts: number): number {
  return fronts > 1 ? fronts : 0;
}

/** What defaults depend on. */
export interface Machine {
  readonly processors: number;
  /** The container's limit, or the machine's memory. */
  readonly memoryBytes: number;
  /** Whether several threads can listen at one port. */
  readonly sharesPort: boolean;
}

/** Where Node knows the option `reusePort`. */
const SHARING_PLATFORMS: ReadonlySet<NodeJS.Platform> = new Set(['linux', 'freebsd', 'aix', 'sunos']);

export function thisMachine(memoryBytes = Infinity): Machine {
  const sharesPort = SHARING_PLATFORMS.has(process.platform);
  return { processors: processors(), memoryBytes, sharesPort };
}

/** How many shards and HTTP threads there are where the settings do not say. */
export function defaultThreads(
  given: {
    readonly SHARDS: number | undefined;
    readonly FRONTS: number | undefined;
    readonly CAPACITY: number;
  },
  { processors: count, memoryBytes, sharesPort }: Machine,
): { readonly SHARDS: number; readonly FRONTS: number } {
  const SHARDS = given.SHARDS ?? defaultShards(count, given.CAPACITY);
  const FRONTS = given.FRONTS ?? (sharesPort ? defaultFronts(count, SHARDS, memoryBytes) : 1);
  return { SHARDS, FRONTS };
}
