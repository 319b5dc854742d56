import { randomInt } from 'node:crypto';
import { processors } from '../config/processors.ts';
import type { Settings } from '../config/settings.ts';
import { Ledger } from '../shared/ledger.ts';
import type { ShardStart } from '../shared/shard-start.ts';
import type { TierStart } from '../shared/tier.ts';
import { pollingPolicy } from './lone-client.ts';
import type { MailboxOptions } from './mailbox.ts';
import { ShardRouter } from './router.ts';
import { Shard } from './shard.ts';
import { type OnTierChange, type RouterTier, TierWatch, tierStartOf } from './tier.ts';

/** The heap of a shard's thread holds one batch of requests and one of replies. Entries lie outside the heap. */
const WORKER_HEAP_MB = 192;
const LEDGER_UNIT_BYTES = 4096;
/** `DELETE /cache` with an engine behind the shards. */
const MAX_CLEAR_WAITS = 60;
/** For a thread that has a processor to itself. Threads that start together share the processors. */
const START_DEADLINE_MS = 5000;
const MIN_SILENCE_LIMIT_MS = 2000;

/** In which a thread must start, where so many start at once. */
export function startDeadlineMs(threads: number): number {
  return START_DEADLINE_MS * Math.ceil(threads / processors());
}

/** For how long a thread may give no sign of life. */
export function silenceLimitMs(deadlineMs: number): number {
  return Math.max(MIN_SILENCE_LIMIT_MS, 2 * deadlineMs);
}

export interface ShardsOptions {
  readonly settings: Settings;
  /** What each shard may hold before the limits of the ledger are set. */
  readonly guaranteeBytes: number;
  /** Bytes of large replies that each shard may have on their way to clients. */
  readonly replyWindowBytes: number;
  readonly tagSeed: ShardStart['tagSeed'];
  /** The module of the threads. */
  readonly workerUrl: URL;
  readonly onDeath: (shard: number, heldBytes: number, error: unknown) => void;
  readonly onRestart: (shard: number, downMs: number) => void;
  /** A node of the engine behind the shards has come or gone. */
  readonly onTierChange: OnTierChange;
  /** Called when the state of a shard has changed. */
  readonly onChange: (shard: Shard) => void;
}

/** What a further HTTP thread needs to route as the main thread does. Plain data: it crosses threads. */
export interface RoutingStart {
  readonly seed: readonly [number, number];
  readonly ledger: SharedArrayBuffer;
  readonly ledgerUnitBytes: number;
  readonly mailbox: Omit<MailboxOptions, 'now'>;
  /** Absent where there is no engine behind the shards. */
  readonly tier: RouterTier | undefined;
}

export interface Shards {
  readonly router: ShardRouter;
  readonly ledger: Ledger;
  readonly routing: RoutingStart;
  /** Starts all threads. @returns when all are up. */
  readonly start: () => Promise<void>;
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
export function createShards(options: ShardsOptions): Shards {
  const { SHARDS, REQUEST_DEADLINE_MS } = options.settings;
  const memory = createSharedMemory(options);
  const { ledger } = memory;
  const { pollsForRequests, mailbox } = sessionSettings(options.settings);
  const tier = tierStartOf(options.settings);
  const routerTier = tier && { clearWaits: MAX_CLEAR_WAITS };
  const tierWatch = tier && new TierWatch(tier.channel, options.onTierChange, () => performance.now());
  const shards = Array.from({ length: SHARDS }, (_, shard) =>
    createShard({ shard, pollsForRequests, mailbox, tier }, options, memory),
  );
  const seed = randomSeed();
  return {
    router: new ShardRouter(
      shards,
      ledger,
      seed,
      REQUEST_DEADLINE_MS,
      tierWatch && { ...routerTier!, onStop: () => tierWatch.close() },
    ),
    ledger,
    routing: { seed, ledger: ledger.buffer, ledgerUnitBytes: LEDGER_UNIT_BYTES, mailbox, tier: routerTier },
    start: async () => {
      await Promise.all(shards.map((shard) => shard.start()));
    },
  };
}

/** Of each HTTP thread's mailboxes; and whether shards busy-wait. */
function sessionSettings({ SHARDS, FRONTS, SHARD_QUEUE_LIMIT, REQUEST_DEADLINE_MS }: Settings) {
  const { pollsForRequests, maxPolledFor } = pollingPolicy(SHARDS, processors(), FRONTS);
  const queueLimit = Math.max(1, Math.floor(SHARD_QUEUE_LIMIT / FRONTS));
  return { pollsForRequests, mailbox: { queueLimit, deadlineMs: REQUEST_DEADLINE_MS, maxPolledFor } };
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

interface Place {
  readonly shard: number;
  readonly pollsForRequests: boolean;
  readonly mailbox: RoutingStart['mailbox'];
  readonly tier: TierStart | undefined;
}

function createShard(
  { shard, pollsForRequests, mailbox, tier }: Place,
  { settings, replyWindowBytes, tagSeed, workerUrl, onDeath, onRestart, onChange }: ShardsOptions,
  { ledger, entryLedger, replyCells }: SharedMemory,
): Shard {
  return new Shard({
    start: {
      shard,
      ledger: ledger.buffer,
      ledgerUnitBytes: LEDGER_UNIT_BYTES,
      entryLedger: entryLedger?.buffer,
      pollsForRequests,
      seed: randomSeed(),
      tagSeed,
      gzipThresholdBytes: settings.GZIP_THRESHOLD_BYTES,
      replyCells: replyCells.buffer,
      replyWindowBytes,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      tier,
      checksIntegrity: settings.LOG_LEVEL === 'trace',
    },
    thread: { workerUrl, heapMb: WORKER_HEAP_MB },
    mailbox: { ...mailbox, now: () => performance.now() },
    startDeadlineMs: startDeadlineMs(settings.SHARDS + settings.FRONTS - 1),
    silenceLimitMs: silenceLimitMs(settings.REQUEST_DEADLINE_MS),
    onDeath: (number, error) => {
      const heldBytes = ledger.forfeit(number);
      entryLedger?.forfeit(number);
      Atomics.store(replyCells, number, 0);
      onDeath(number, heldBytes, error);
    },
    onRestart,
    onChange,
  });
}

export function randomSeed(): readonly [number, number] {
  return [randomInt(2 ** 32), randomInt(2 ** 32)];
}
