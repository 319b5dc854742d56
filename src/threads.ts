import type { AccessFiles } from './config/access-files.ts';
import { type TrafficLimits, deriveTrafficLimits } from './config/memory-shares.ts';
import type { Settings } from './config/settings.ts';
import { furtherFronts } from './config/threads.ts';
import type { FrontHost } from './fronts/front.ts';
import { Fronts, newsOf } from './fronts/fronts.ts';
import { ReplyWaits } from './http/intake/reply-waits.ts';
import { createRateCells } from './http/shared-rate-store.ts';
import {
  type LogSink,
  frontDied,
  frontReplaced,
  logEvent,
  shardDied,
  shardIsBackUp,
  tierChanged,
} from './log-events.ts';
import type { MemoryPlan } from './memory/memory-plan.ts';
import type { Reports } from './reports.ts';
import {
  type Shards,
  type ShardsOptions,
  createShards,
  silenceLimitMs,
  startDeadlineMs,
} from './shards/create-shards.ts';

/** The application takes longer to load than a shard does: a quarter of a second of processor time, or two before it is compiled. */
const APP_START_FACTOR = 3;
/** The number of the main thread among the HTTP threads. */
const MAIN = 0;

export interface ThreadsOptions {
  readonly settings: Settings;
  readonly plan: MemoryPlan;
  readonly logger: LogSink;
  readonly reports: Reports;
  readonly tagSeed: ShardsOptions['tagSeed'];
  /** The modules of the threads. */
  readonly shardUrl: URL;
  readonly frontUrl: URL;
  /** What may change while the server runs, as it is now. */
  readonly current: () => { readonly access: AccessFiles; readonly isShuttingDown: boolean };
}

/** The threads beside the main thread, not started yet, and what the HTTP threads share. */
export interface Threads {
  readonly shards: Shards;
  readonly fronts: Fronts;
  /** The share of each HTTP thread, the main thread too. */
  readonly traffic: TrafficLimits;
  /** Where all HTTP threads count requests for `RATE_LIMIT`; absent where there is no limit, or one thread. */
  readonly rateCells: SharedArrayBuffer | undefined;
  /** Absent where there is one HTTP thread. */
  readonly replyWaits: ReplyWaits | undefined;
}

export function createThreads(options: ThreadsOptions): Threads {
  const { settings, plan, logger, reports, current } = options;
  const { MEMORY_THRESHOLD, SHARDS, FRONTS, RATE_LIMIT, REQUEST_DEADLINE_MS } = settings;
  const traffic = deriveTrafficLimits(plan.memoryLimit.limitBytes, MEMORY_THRESHOLD, SHARDS, FRONTS);
  const shards = createShards({
    settings,
    guaranteeBytes: plan.fullGuaranteeBytes,
    replyWindowBytes: traffic.replyWindowBytes,
    tagSeed: options.tagSeed,
    workerUrl: options.shardUrl,
    ...shardEvents(logger),
    onChange: (shard) => fronts.tellOf(shard),
  });
  const { router, routing } = shards;
  const rateCells = FRONTS > 1 && RATE_LIMIT > 0 ? createRateCells() : undefined;
  const waitCells = ReplyWaits.createBuffer(1 + furtherFronts(FRONTS));
  const host: FrontHost = {
    start: (front) => {
      const news = router.shards.map((shard) => newsOf(shard, false));
      // A thread that has died does not wait any more.
      new ReplyWaits(waitCells, front).note(false);
      return { front, settings, traffic, routing, rateCells, waitCells, shards: news, ...current() };
    },
    answer: (about) => reports.answer(about),
    feed: reports.feed,
    ...frontEvents(logger),
  };
  const fronts = new Fronts(FRONTS, () => router.shards, host, {
    workerUrl: options.frontUrl,
    youngMb: plan.frontYoungMb,
    startDeadlineMs: APP_START_FACTOR * startDeadlineMs(FRONTS + SHARDS),
    silenceLimitMs: silenceLimitMs(REQUEST_DEADLINE_MS),
    deadlineMs: REQUEST_DEADLINE_MS,
  });
  const replyWaits = FRONTS > 1 ? new ReplyWaits(waitCells, MAIN) : undefined;
  return { shards, fronts, traffic, rateCells, replyWaits };
}

function shardEvents(logger: LogSink): Pick<ShardsOptions, 'onDeath' | 'onRestart' | 'onTierChange'> {
  return {
    onDeath: (shard, heldBytes, error) => logEvent(logger, shardDied(shard, heldBytes, error)),
    onRestart: (shard, downMs) => logEvent(logger, shardIsBackUp(shard, downMs)),
    onTierChange: (...change) => logEvent(logger, tierChanged(...change)),
  };
}

function frontEvents(logger: LogSink): Pick<FrontHost, 'log' | 'onDeath' | 'onReplaced'> {
  return {
    log: (event) => logEvent(logger, event),
    onDeath: (front, wasServing, error) => logEvent(logger, frontDied(front, wasServing, error)),
    onReplaced: (front, downMs) => logEvent(logger, frontReplaced(front, downMs)),
  };
}
