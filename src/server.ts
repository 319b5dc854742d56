import { randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { Server as TlsServer } from 'node:tls';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import packageJson from '../package.json' with { type: 'json' };
import { Ledger } from './shared/ledger.ts';
import { EMPTY_SEGMENT_BYTES, guaranteeFor, mostEntryBytes } from './shared/segment-sizes.ts';
import type { AccessFiles } from './config/access-files.ts';
import { type Limits, deriveLimits, deriveTrafficLimits } from './config/limits.ts';
import { parseProxyList } from './config/proxy-list.ts';
import type { Settings } from './config/settings.ts';
import { listenError, resolveHost } from './listening.ts';
import {
  type LogSink,
  listening,
  logEvent,
  pressureChanged,
  shardDied,
  shardIsBackUp,
  shedOrderDone,
} from './log-events.ts';
import { type MemoryLimit, findMemoryLimit, usedBytes } from './memory/probe.ts';
import { Supervisor } from './memory/supervisor.ts';
import { pollingPolicy } from './shards/lone-client.ts';
import { ShardRouter } from './shards/router.ts';
import { Shard } from './shards/shard.ts';
import { statsReport } from './stats-report.ts';

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
  readonly memoryLimit: MemoryLimit;
  /** Where it listens. */
  readonly address: string;
  /** From now on the token and, for new connections, the certificate are these. */
  readonly useAccess: (access: AccessFiles) => void;
  /** From now on `/ready` says 503; connections are taken and served as before. */
  readonly beginShutdown: () => void;
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
 * Whether the memory limit leaves room for what is promised, as far as can be told before anything is started.
 * @throws LimitTooSmallError
 */
export async function checkMemoryLimit(settings: Settings): Promise<MemoryLimit> {
  const memoryLimit = findMemoryLimit(settings.MEMORY_LIMIT);
  await loadAll();
  limitsOrThrow(settings, memoryLimit, leastBaselineBytes(settings, memoryLimit));
  return memoryLimit;
}

function leastBaselineBytes(settings: Settings, memoryLimit: MemoryLimit): number {
  return usedBytes(memoryLimit, process.memoryUsage.rss()) + settings.SHARDS * LEAST_SHARD_BYTES;
}

function limitsOrThrow(settings: Settings, { limitBytes }: MemoryLimit, baselineBytes: number): Limits {
  const derived = deriveLimits({
    limitBytes,
    threshold: settings.MEMORY_THRESHOLD,
    baselineBytes,
    shards: settings.SHARDS,
    leastGuaranteeBytes: guaranteeFor(0),
    fullGuaranteeBytes: fullGuarantee(settings),
  });
  if (typeof derived === 'string') throw new LimitTooSmallError(derived);
  return derived;
}

function fullGuarantee({ MAX_KEY_LENGTH, MAX_VALUE_BYTES }: Settings): number {
  return guaranteeFor(mostEntryBytes(MAX_KEY_LENGTH, MAX_VALUE_BYTES));
}

/**
 * Puts the parts together, from the ledger up, and listens.
 * @param workerUrl the shard threads' module; tests of faults give one that fails on request.
 * @throws LimitTooSmallError, ListenError
 */
export async function startServer(
  settings: Settings,
  logger: LogSink,
  access: AccessFiles = OPEN_ACCESS,
  workerUrl: URL = WORKER_URL,
): Promise<RunningServer> {
  const { address: host, others } = await resolveHost(settings.HOST);
  if (others.length > 0) {
    logger.info({ host: settings.HOST, address: host, others }, 'HOST has several addresses; listens on one');
  }
  const memoryLimit = findMemoryLimit(settings.MEMORY_LIMIT);
  const probe = (): number => usedBytes(memoryLimit, process.memoryUsage.rss());

  const traffic = deriveTrafficLimits(memoryLimit.limitBytes, settings.MEMORY_THRESHOLD, settings.SHARDS);
  const fullGuaranteeBytes = fullGuarantee(settings);
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

  // Too many threads would be ended by the system before they could be counted.
  limitsOrThrow(settings, memoryLimit, leastBaselineBytes(settings, memoryLimit));

  const shards = Array.from({ length: settings.SHARDS }, (_, shard) =>
    createShard(shard, settings, logger, shared, workerUrl),
  );
  const router = new ShardRouter(
    shards,
    [randomInt(2 ** 32), randomInt(2 ** 32)],
    settings.REQUEST_DEADLINE_MS,
  );
  let limits: Limits;
  let { authToken } = access;
  let isShuttingDown = false;
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
      access: {
        get token() {
          return authToken;
        },
      },
      rateLimit: settings.RATE_LIMIT,
      trustedProxies: parseProxyList(settings.TRUST_PROXY) ?? undefined,
      tls: access.tls,
      bodyBudgetBytes: traffic.bodyBudgetBytes,
      unreadBytes: traffic.unreadBytes,
      heldBytes: traffic.heldBytes,
      mostTlsConnections: traffic.mostTlsConnections,
      collectEveryBytes: traffic.collectEveryBytes,
      deadlineMs: settings.REQUEST_DEADLINE_MS,
      stats: () => statsReport({ settings, memoryLimit, limits, supervisor, router, ledger }),
      isShuttingDown: () => isShuttingDown,
    });
    stopping.undo.push(() => closeHttp(app));
    const baselineBytes = probe();
    limits = limitsOrThrow(settings, memoryLimit, baselineBytes);
    ledger.setLimits(limits.ceilingBytes, limits.guaranteeBytes, limits.marginBytes);

    const supervisor = new Supervisor({
      thresholdBytes: limits.thresholdBytes,
      shedFraction: settings.SHED_FRACTION,
      baselineBytes,
      intervalMs: settings.SUPERVISOR_INTERVAL_MS,
      probe,
      heldBytes: () => shards.map((_, shard) => Math.max(0, ledger.held(shard) - EMPTY_SEGMENT_BYTES)),
      shed: (orders) => router.shed(orders),
      isAtCeiling: () => shards.some(({ number }) => ledger.isTight(number)),
      now: () => Math.round(performance.timeOrigin + performance.now()),
      onOrder: (report) => logEvent(logger, shedOrderDone(report, settings.SHED_FRACTION)),
      onPressure: (change, used) => logEvent(logger, pressureChanged(change, used, limits)),
      onError: (error) => logger.error({ err: error }, 'memory was not looked at'),
    });
    supervisor.start();
    stopping.undo.push(() => Promise.resolve(supervisor.stop()));

    const address = await listen(app, host, settings);
    logEvent(logger, listening(address, settings.SHARDS, limits, memoryLimit));
    const useAccess = (files: AccessFiles): void => {
      authToken = files.authToken;
      if (app.server instanceof TlsServer && files.tls) app.server.setSecureContext(files.tls);
    };
    return {
      app,
      router,
      supervisor,
      limits,
      memoryLimit,
      address,
      useAccess,
      beginShutdown,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }

  function beginShutdown(): void {
    isShuttingDown = true;
  }

  async function close(): Promise<void> {
    beginShutdown();
    for (const undo of stopping.undo.splice(0).toReversed()) await undo();
  }
}

async function listen(app: FastifyInstance, host: string, { HOST, PORT }: Settings): Promise<string> {
  try {
    return await app.listen({ host, port: PORT });
  } catch (error) {
    throw listenError(HOST, PORT, error);
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
  logger: LogSink,
  { ledger, entryLedger, replyCells, replyWindow }: SharedByShards,
  workerUrl: URL,
): Shard {
  const { pollsForRequests, maxPolledFor } = pollingPolicy(settings.SHARDS, availableParallelism());
  return new Shard({
    start: {
      shard,
      ledger: ledger.buffer,
      ledgerUnitBytes: LEDGER_UNIT_BYTES,
      entryLedger: entryLedger?.buffer,
      pollsForRequests,
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
      maxPolledFor,
    },
    thread: { workerUrl, heapMb: WORKER_HEAP_MB },
    startDeadlineMs: START_DEADLINE_MS * Math.ceil(settings.SHARDS / availableParallelism()),
    silenceLimitMs: Math.max(LEAST_SILENCE_MS, 2 * settings.REQUEST_DEADLINE_MS),
    onDeath: (number, error) => {
      const heldBytes = ledger.forfeit(number);
      entryLedger?.forfeit(number);
      Atomics.store(replyCells, number, 0);
      logEvent(logger, shardDied(number, heldBytes, error));
    },
    onRestart: (number, downMs) => logEvent(logger, shardIsBackUp(number, downMs)),
  });
}
