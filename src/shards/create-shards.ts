import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Settings } from '../config/settings.ts';
import { Ledger } from '../shared/ledger.ts';
import type { TierStart } from '../shared/tier.ts';
import { TierWatch, tierStartOf } from './tier.ts';
import { pollingPolicy } from './lone-client.ts';
import { ShardRouter } from './router.ts';
import { Shard } from './shard.ts';

/** The heap of a shard's thread holds one batch of requests and one of replies. Entries lie outside the heap. */
const WORKER_HEAP_MB = 192;
const LEDGER_UNIT_BYTES = 4096;
/** For a thread that has a processor to itself. Threads that start together share the processors. */
const START_DEADLINE_MS = 5000;
const MIN_SILENCE_LIMIT_MS = 2000;

export interface ShardsOptions {
  readonly settings: Settings;
  /** What each shard may hold before the limits of the ledger are set. */
  readonly guaranteeBytes: number;
  /** Bytes of large replies that each shard may have on their way to clients. */
  readonly replyWindowBytes: number;
  /** The module of the threads. */
  readonly workerUrl: URL;
  readonly onDeath: (shard: number, heldBytes: number, error: unknown) => void;
  readonly onRestart: (shard: number, downMs: number) => void;
  /** A node of the engine behind the shards has come or gone. */
  readonly onTierChange: (address: string, isUp: boolean, reason: string) => void;
}

/** The memory that all shards and the main thread share; the doorbells are apart, one for each session. */
interface SharedMemory {
  readonly ledger: Ledger;
  /** Counts entries for `CAPACITY`, if that is set. */
  readonly entryLedger: Ledger | undefined;
  /** Bytes of large replies on their way to clients, one cell per shard. */
  readonly replyCells: Int32Array<SharedArrayBuffer>;
}

/** All shards, not started yet, with the router to them and the ledger of their memory. */
export function createShards(options: ShardsOptions): {
  readonly router: ShardRouter;
  readonly ledger: Ledger;
} {
  const { SHARDS, REQUEST_DEADLINE_MS } = options.settings;
  const memory = createSharedMemory(options);
  const tierStart = tierStartOf(options.settings);
  const tierWatch = tierStart && new TierWatch(tierStart.channel, options.onTierChange);
  const shards = Array.from({ length: SHARDS }, (_, shard) =>
    createShard(shard, { ...options, tierStart }, memory),
  );
  const { ledger } = memory;
  return { router: new ShardRouter(shards, ledger, randomSeed(), REQUEST_DEADLINE_MS, tierWatch), ledger };
}

function createSharedMemory({ settings, guaranteeBytes }: ShardsOptions): SharedMemory {
  const { SHARDS, CAPACITY } = settings;
  return {
    ledger: Ledger.create(SHARDS, {
      ceiling: guaranteeBytes * SHARDS,
      guarantee: guaranteeBytes,
      unit: LEDGER_UNIT_BYTES,
    }),
    entryLedger:
      CAPACITY > 0 ? Ledger.create(SHARDS, { ceiling: CAPACITY, guarantee: 1, unit: 1 }) : undefined,
    replyCells: new Int32Array(new SharedArrayBuffer(SHARDS * Int32Array.BYTES_PER_ELEMENT)),
  };
}

function createShard(
  shard: number,
  {
    settings,
    replyWindowBytes,
    workerUrl,
    tierStart,
    onDeath,
    onRestart,
  }: ShardsOptions & { readonly tierStart: TierStart | undefined },
  { ledger, entryLedger, replyCells }: SharedMemory,
): Shard {
  const processors = availableParallelism();
  const { pollsForRequests, maxPolledFor } = pollingPolicy(settings.SHARDS, processors);
  return new Shard({
    start: {
      shard,
      ledger: ledger.buffer,
      ledgerUnitBytes: LEDGER_UNIT_BYTES,
      entryLedger: entryLedger?.buffer,
      pollsForRequests,
      seed: randomSeed(),
      gzipThresholdBytes: settings.GZIP_THRESHOLD_BYTES,
      replyCells: replyCells.buffer,
      replyWindowBytes,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      tier: tierStart,
      checksIntegrity: settings.LOG_LEVEL === 'trace',
    },
    thread: { workerUrl, heapMb: WORKER_HEAP_MB },
    mailbox: {
      queueLimit: settings.SHARD_QUEUE_LIMIT,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      now: () => performance.now(),
      maxPolledFor,
    },
    startDeadlineMs: START_DEADLINE_MS * Math.ceil(settings.SHARDS / processors),
    silenceLimitMs: Math.max(MIN_SILENCE_LIMIT_MS, 2 * settings.REQUEST_DEADLINE_MS),
    onDeath: (number, error) => {
      const heldBytes = ledger.forfeit(number);
      entryLedger?.forfeit(number);
      Atomics.store(replyCells, number, 0);
      onDeath(number, heldBytes, error);
    },
    onRestart,
  });
}

function randomSeed(): readonly [number, number] {
  return [randomInt(2 ** 32), randomInt(2 ** 32)];
}
