import { randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import { Doorbell } from './shared/doorbell.ts';
import { Ledger } from './shared/ledger.ts';
import { EMPTY_SEGMENT_BYTES, guaranteeFor, mostEntryBytes } from './shared/segment-sizes.ts';
import type { AccessFiles } from './config/access-files.ts';
import { type Limits, deriveLimits, deriveTrafficLimits } from './config/limits.ts';
import type { Settings } from './config/settings.ts';
import { Shard } from './router/shard.ts';
import { ShardRouter } from './router/shard-router.ts';
import { statsReport } from './stats-report.ts';
import { findMemoryLimit, usedBytes } from './supervisor/memory-probe.ts';
import { Supervisor } from './supervisor/supervisor.ts';

const WORKER_URL = new URL('../workers/shard-worker.ts', import.meta.url);
/** A shard's entries are not in its heap; what is there is one batch of requests and one of replies. */
const WORKER_HEAP_MB = 192;
const LEDGER_UNIT_BYTES = 4096;
/** What the thread of an empty shard takes at the least: 10 MiB were measured. */
const LEAST_SHARD_BYTES = 8 * 2 ** 20;
/** For a thread that has a processor to itself; many that start at once share what there is. */
const START_DEADLINE_MS = 5000;
const LEAST_SILENCE_MS = 2000;
const IDLE_CHECK_INTERVAL_MS = 20;
/** A client that is between two requests when the server begins to close may send one more in this time. */
const LAST_REQUEST_MS = 500;
/** How long those that rest are kept for the sake of clients that have not taken their answers. */
const LAST_ANSWER_MS = 3000;

const OPEN_ACCESS: AccessFiles = { authToken: undefined, tls: undefined };

/** The memory limit leaves no room to keep what is promised. The message says what to change. */
export class LimitTooSmallError extends Error {
  override readonly name = 'LimitTooSmallError';
}

export interface RunningServer {
  readonly app: FastifyInstance;
  readonly router: ShardRouter;
  readonly supervisor: Supervisor;
  readonly limits: Limits;
  /** Stops accepting, answers what is in flight, then stops the shards. */
  readonly close: () => Promise<void>;
}

/** Loads whatever a server and its shards are going to load. */
export async function loadAll(): Promise<void> {
  await import('./http/app.ts');
  // As Piscina does: where compiled code is kept, a module that is imported is another one.
  createRequire(import.meta.url)(fileURLToPath(WORKER_URL));
}

/**
 * Puts the parts together, from the ledger up, and listens.
 * @param workerUrl the shard threads' module; tests of faults give one that fails on request.
 * @throws LimitTooSmallError; whatever `listen` fails with, such as EADDRINUSE.
 */
export async function startServer(
  settings: Settings,
  logger: Logger,
  access: AccessFiles = OPEN_ACCESS,
  workerUrl: URL = WORKER_URL,
): Promise<RunningServer> {
  const memoryLimit = findMemoryLimit(settings.MEMORY_LIMIT);
  const probe = (): number => usedBytes(memoryLimit, process.memoryUsage.rss());

  const traffic = deriveTrafficLimits(memoryLimit.limitBytes, settings.MEMORY_THRESHOLD, settings.SHARDS);
  const fullGuaranteeBytes = guaranteeFor(mostEntryBytes(settings.MAX_KEY_LENGTH, settings.MAX_VALUE_BYTES));
  const provisional = { guarantee: fullGuaranteeBytes, ceiling: fullGuaranteeBytes * settings.SHARDS };
  const ledger = Ledger.create(settings.SHARDS, { ...provisional, unit: LEDGER_UNIT_BYTES });
  const entryLedger =
    settings.CAPACITY > 0
      ? Ledger.create(settings.SHARDS, { ceiling: settings.CAPACITY, guarantee: 1, unit: 1 })
      : undefined;

  const shared: SharedByShards = {
    ledger,
    entryLedger,
    replyCells: new Int32Array(new SharedArrayBuffer(settings.SHARDS * Int32Array.BYTES_PER_ELEMENT)),
    replyWindow: traffic.replyWindowBytes,
  };

  const limitsFor = (baselineBytes: number): Limits => {
    const derived = deriveLimits({
      limitBytes: memoryLimit.limitBytes,
      threshold: settings.MEMORY_THRESHOLD,
      baselineBytes,
      shards: settings.SHARDS,
      leastGuaranteeBytes: guaranteeFor(0),
      fullGuaranteeBytes,
    });
    if (typeof derived === 'string') throw new LimitTooSmallError(derived);
    return derived;
  };
  // Too many threads would be ended by the system before they could be counted.
  limitsFor(probe() + settings.SHARDS * LEAST_SHARD_BYTES);

  const shards = Array.from({ length: settings.SHARDS }, (_, shard) =>
    createShard(shard, settings, logger, shared, workerUrl),
  );
  const router = new ShardRouter(
    shards,
    [randomInt(2 ** 32), randomInt(2 ** 32)],
    settings.REQUEST_DEADLINE_MS,
  );
  let limits: Limits;
  const stopping = { undo: [() => router.stop()] };
  try {
    // The threads start while this one is busy loading the HTTP layer.
    const started = Promise.all(shards.map((shard) => shard.start()));
    const [{ createApp }] = await Promise.all([import('./http/app.ts'), started]);
    const app = await createApp({
      router,
      onUnexpectedError: (error) => logger.error({ err: error }, 'unexpected error'),
      version: packageJson.version,
      maxKeyLength: settings.MAX_KEY_LENGTH,
      maxValueBytes: settings.MAX_VALUE_BYTES,
      gzipThresholdBytes: settings.GZIP_THRESHOLD_BYTES,
      authToken: access.authToken,
      rateLimit: settings.RATE_LIMIT,
      tls: access.tls,
      bodyBudgetBytes: traffic.bodyBudgetBytes,
      unreadBytes: traffic.unreadBytes,
      heldBytes: traffic.heldBytes,
      mostTlsConnections: traffic.mostTlsConnections,
      collectEveryBytes: traffic.collectEveryBytes,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      stats: () => statsReport({ settings, memoryLimit, limits, supervisor, router, ledger }),
    });
    stopping.undo.push(() => closeHttp(app));
    const baselineBytes = probe();
    limits = limitsFor(baselineBytes);
    ledger.setLimits(limits.ceilingBytes, limits.guaranteeBytes, limits.marginBytes);

    const supervisor = new Supervisor({
      thresholdBytes: limits.thresholdBytes,
      shedFraction: settings.SHED_FRACTION,
      baselineBytes,
      intervalMs: settings.SUPERVISOR_INTERVAL_MS,
      probe,
      heldBytes: () => shards.map((_, shard) => Math.max(0, ledger.held(shard) - EMPTY_SEGMENT_BYTES)),
      shed: (orders) => router.shed(orders),
      now: Date.now,
      onOrder: (report) => logger.info({ order: report }, 'shed order carried out'),
      onError: (error) => logger.error({ err: error }, 'memory was not looked at'),
    });
    supervisor.start();
    stopping.undo.push(() => Promise.resolve(supervisor.stop()));

    const address = await app.listen({ host: settings.HOST, port: settings.PORT });
    logger.info({ address, shards: settings.SHARDS, limits, limitSource: memoryLimit.source }, 'listening');
    return { app, router, supervisor, limits, close };
  } catch (error) {
    await close();
    throw error;
  }

  async function close(): Promise<void> {
    for (const undo of stopping.undo.splice(0).toReversed()) await undo();
  }
}

/**
 * Stops accepting and answers what is in flight. Node would at once close the connections that rest, and a
 * request that is on its way there would be lost; so they have a moment to send it, and are told with the answer
 * that it was the last.
 */
async function closeHttp(app: FastifyInstance): Promise<void> {
  const { server } = app;
  const closeIdle = server.closeIdleConnections.bind(server);
  server.closeIdleConnections = () => undefined;
  const beganMs = performance.now();
  const timer = setInterval(() => {
    const passedMs = performance.now() - beganMs;
    // To Node a connection rests when its answers are complete, though its client has not taken them yet.
    const isDue = app.connections.unanswered === 0 || passedMs >= LAST_ANSWER_MS;
    if (passedMs >= LAST_REQUEST_MS && isDue) closeIdle();
  }, IDLE_CHECK_INTERVAL_MS);
  await app.close();
  clearInterval(timer);
}

/** To so many requests a quick answer is worth more than a longer batch. */
const MOST_POLLED_FOR = 3;

/**
 * Which threads may poll: a shard for its next request, the main thread for the replies to how many requests. With one
 * processor polling would only keep the other thread from working; one of several shards is seldom the one that is
 * asked next, and the others want its processor: see ADR 8.
 */
export function whoPolls(
  shards: number,
  processors: number,
): { readonly forRequests: boolean; readonly mostPolledFor: number } {
  if (processors === 1) return { forRequests: false, mostPolledFor: 0 };
  return shards === 1
    ? { forRequests: true, mostPolledFor: MOST_POLLED_FOR }
    : { forRequests: false, mostPolledFor: 1 };
}

/** What all shards share: what they hold, and what of it is on its way. */
interface SharedByShards {
  readonly ledger: Ledger;
  readonly entryLedger: Ledger | undefined;
  readonly replyCells: Int32Array<SharedArrayBuffer>;
  readonly replyWindow: number;
}

function createShard(
  shard: number,
  settings: Settings,
  logger: Logger,
  { ledger, entryLedger, replyCells, replyWindow }: SharedByShards,
  workerUrl: URL,
): Shard {
  const doorbell = new Doorbell();
  const polls = whoPolls(settings.SHARDS, availableParallelism());
  return new Shard({
    start: {
      shard,
      ledger: ledger.buffer,
      ledgerUnitBytes: LEDGER_UNIT_BYTES,
      entryLedger: entryLedger?.buffer,
      doorbell: doorbell.buffers,
      pollsForRequests: polls.forRequests,
      seed: [randomInt(2 ** 32), randomInt(2 ** 32)],
      gzipThresholdBytes: settings.GZIP_THRESHOLD_BYTES,
      replyCells: replyCells.buffer,
      replyWindow,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      checksIntegrity: settings.LOG_LEVEL === 'trace',
    },
    mailbox: {
      queueLimit: settings.SHARD_QUEUE_LIMIT,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      now: () => performance.now(),
      doorbell,
      mostPolledFor: polls.mostPolledFor,
    },
    workerUrl,
    workerHeapMb: WORKER_HEAP_MB,
    startDeadlineMs: START_DEADLINE_MS * Math.ceil(settings.SHARDS / availableParallelism()),
    silenceLimitMs: Math.max(LEAST_SILENCE_MS, 2 * settings.REQUEST_DEADLINE_MS),
    onDeath: (number, error) => {
      const heldBytes = ledger.forfeit(number);
      entryLedger?.forfeit(number);
      Atomics.store(replyCells, number, 0);
      logger.error({ err: error, shard: number, heldBytes }, 'a shard died; its entries are gone');
    },
  });
}
