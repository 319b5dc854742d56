import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { Server as TlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import packageJson from '../package.json' with { type: 'json' };
import type { AccessFiles } from './config/access-files.ts';
import type { Limits } from './config/memory-shares.ts';
import type { Settings } from './config/settings.ts';
import { EventRing } from './dashboard/events.ts';
import type { FrontApp } from './fronts/front-app.ts';
import type { Fronts } from './fronts/fronts.ts';
import { type ServerUrls, findFreePort, listenError, resolveHost, urlsOf } from './listening.ts';
import {
  type LogSink,
  listening,
  logEvent,
  nodeChanged,
  pressureChanged,
  shedOrderDone,
  snapshotFailed,
  snapshotForeign,
  snapshotLoaded,
  snapshotNotLoaded,
  snapshotSaved,
} from './log-events.ts';
import { MemoryPlan } from './memory/memory-plan.ts';
import type { MemoryLimit } from './memory/probe.ts';
import { Supervisor } from './memory/supervisor.ts';
import { Metrics } from './metrics/metrics.ts';
import { Reports } from './reports.ts';
import type { Ledger } from './shared/ledger.ts';
import { EMPTY_SEGMENT_BYTES } from './shared/segment-sizes.ts';
import type { ShardRouter } from './shards/router.ts';
import { randomSeed } from './shards/create-shards.ts';
import { type TagSeed, readTagSeed } from './snapshot/head.ts';
import { Snapshots } from './snapshot/snapshots.ts';
import { type Threads, createThreads } from './threads.ts';
import { ENTRY_URL } from './worker-threads/thread.ts';

/** In the npm package all of them are compiled. */
const EXTENSION = extname(import.meta.url);
const WORKER_URL = new URL(`../workers/shard-worker${EXTENSION}`, import.meta.url);
const FRONT_URL = new URL(`./fronts/front-thread${EXTENSION}`, import.meta.url);
/** Milliseconds since the epoch; never goes back. */
const nowMs = (): number => Math.round(performance.timeOrigin + performance.now());
const OPEN_ACCESS: AccessFiles = { authToken: undefined, readToken: undefined, tls: undefined };

export interface RunningServer {
  readonly app: FastifyInstance;
  /** The HTTP threads beside this one. */
  readonly fronts: Fronts;
  readonly router: ShardRouter;
  readonly supervisor: Supervisor;
  readonly limits: Limits;
  /** Writes to the log, and to the dashboard's list of events. */
  readonly logger: LogSink;
  readonly memoryLimit: MemoryLimit;
  /** A URL at which this machine reaches it. */
  readonly address: string;
  readonly isOnAllInterfaces: boolean;
  /** Replaces the token and, for new connections, the certificate. */
  readonly useAccess: (access: AccessFiles) => void;
  /** Requests without an answer, of all HTTP threads. */
  readonly unanswered: () => number;
  /** From now on, `/ready` answers 503. Connections are accepted and served as before. */
  readonly beginShutdown: () => void;
  /** Stops accepting connections, answers the requests in flight, then stops the shards. */
  readonly close: () => Promise<void>;
}

/** Loads all modules of the server and its shards. */
export async function loadAll(): Promise<void> {
  await import('./fronts/front-app.ts');
  for (const url of [WORKER_URL, FRONT_URL]) await import(url.href);
  // `require`, as Piscina does: the compile cache keeps what is imported under another key.
  createRequire(import.meta.url)(fileURLToPath(ENTRY_URL));
}

/**
 * Checks whether the memory limit leaves room for the promises, without starting anything.
 * @returns the limit, and a warning if it leaves little room.
 * @throws LimitTooSmallError
 */
export async function checkMemoryLimit(
  settings: Settings,
): Promise<{ memoryLimit: MemoryLimit; warning: string | undefined }> {
  const plan = new MemoryPlan(settings);
  await loadAll();
  return { memoryLimit: plan.memoryLimit, warning: plan.checkRoomForServer() };
}

/**
 * Puts the parts together, from the shards up, and listens.
 * @param workerUrl the module of the shards' threads; tests of faults give one that fails on request.
 * @throws LimitTooSmallError, ListenError
 */
export async function startServer(
  settings: Settings,
  log: LogSink,
  access: AccessFiles = OPEN_ACCESS,
  workerUrl: URL = WORKER_URL,
): Promise<RunningServer> {
  const { events, logger } = recordEvents(settings, log);
  const address = await addressOf(settings.HOST, logger);
  const plan = new MemoryPlan(settings);
  plan.checkRoomForThreads();
  const metrics = new Metrics(packageJson.version);
  const reports = new Reports(metrics, () => sources, events, logger);
  const current = { access, isShuttingDown: false };
  const tagSeed = (await readTagSeed(settings.SNAPSHOT_FILE)) ?? randomSeed();
  const fixed = { tagSeed, shardUrl: workerUrl, frontUrl: FRONT_URL };
  const threads = createThreads({ settings, plan, logger, reports, ...fixed, current: () => current });
  const { shards, fronts } = threads;
  const { router, ledger } = shards;
  // Disposed of in reverse order: at once if the start fails, else by `close`.
  await using parts = new AsyncDisposableStack();
  parts.defer(() => router.stop());
  const snapshots = createSnapshots(settings, router, tagSeed, logger, parts);
  parts.defer(() => fronts.stop());
  // The threads start while the main thread is busy loading the HTTP layer.
  await Promise.all([import('./fronts/front-app.ts'), startShards(shards, snapshots), fronts.start()]);
  const front = await createFront({ settings, access, logger, reports, threads });
  const { app } = front;
  parts.defer(() => closeHttp(app, fronts, snapshots).then(() => metrics.stop()));
  const { limits, supervisor } = superviseMemory({ settings, plan, router, ledger, logger });
  parts.defer(() => supervisor.stop());
  const { memoryLimit } = plan;
  const sources = { settings, memoryLimit, limits, supervisor, router, ledger, fronts, app, snapshots };

  const { bound, ...reach } = await listen(front, fronts, address, settings);
  snapshots?.start();
  logEvent(logger, listening(bound, settings, limits, memoryLimit));
  const running = parts.move();
  const beginShutdown = (): void => {
    current.isShuttingDown = true;
    front.beginShutdown();
    fronts.beginShutdown();
  };
  return {
    app,
    fronts,
    router,
    supervisor,
    limits,
    logger,
    memoryLimit,
    ...reach,
    useAccess: (files) => {
      current.access = files;
      front.useAccess(files);
      fronts.useAccess(files);
    },
    unanswered: () => app.purse.totals.requests + fronts.unanswered,
    beginShutdown,
    close: () => {
      beginShutdown();
      return running.disposeAsync();
    },
  };
}

interface FrontParts {
  readonly settings: Settings;
  readonly access: AccessFiles;
  readonly logger: LogSink;
  readonly reports: Reports;
  readonly threads: Threads;
}

/** The main thread's own application. */
async function createFront({ settings, access, logger, reports, threads }: FrontParts): Promise<FrontApp> {
  const { FrontApp: Loaded, trafficOf } = await import('./fronts/front-app.ts');
  return Loaded.create({
    settings,
    access,
    logger,
    router: threads.shards.router,
    rateCells: threads.rateCells,
    replyWaits: threads.replyWaits,
    limits: threads.traffic,
    traffic: trafficOf(logger),
    feed: reports.feed,
    stats: () => reports.stats(),
    metrics: () => reports.metricsText(),
    onNodeChange: (internal, fallback) => logEvent(logger, nodeChanged(internal, fallback)),
  });
}

/** What is logged from now on, the dashboard tells, too. */
function recordEvents({ LOG_LEVEL }: Settings, log: LogSink): { events: EventRing; logger: LogSink } {
  const events = new EventRing(nowMs);
  return { events, logger: events.recording(log, LOG_LEVEL === 'debug' || LOG_LEVEL === 'trace') };
}

async function addressOf(host: string, logger: LogSink): Promise<string> {
  const { address, others } = await resolveHost(host);
  if (others.length > 0) {
    logger.info({ host, address, others }, 'HOST has several addresses; listens on one');
  }
  return address;
}

/** @param parts of the server, to which it is added. */
function createSnapshots(
  { SNAPSHOT_FILE: path, SNAPSHOT_INTERVAL }: Settings,
  router: ShardRouter,
  tagSeed: TagSeed,
  logger: LogSink,
  parts: AsyncDisposableStack,
): Snapshots | undefined {
  if (path === '') return undefined;
  const snapshots = new Snapshots({
    path,
    intervalMs: SNAPSHOT_INTERVAL * 1000,
    router,
    tagSeed,
    nowMs,
    onSaved: (saved) => logEvent(logger, snapshotSaved(saved)),
    onSaveFailed: (error) => logEvent(logger, snapshotFailed(error)),
    onLoaded: (loaded) => logEvent(logger, snapshotLoaded(loaded)),
    onLoadFailed: (error) => logEvent(logger, snapshotNotLoaded(error)),
    onForeign: (file, keptAs) => logEvent(logger, snapshotForeign(file, keptAs)),
  });
  parts.defer(() => snapshots.close());
  return snapshots;
}

async function startShards(shards: Threads['shards'], snapshots: Snapshots | undefined): Promise<void> {
  await shards.start();
  await snapshots?.prepare();
}

async function closeHttp(
  app: FastifyInstance,
  fronts: Fronts,
  snapshots: Snapshots | undefined,
): Promise<void> {
  const closing = Promise.all([app.close(), fronts.close()]);
  await (snapshots?.waitFor(closing) ?? closing);
}

interface SupervisorParts {
  readonly settings: Settings;
  readonly plan: MemoryPlan;
  readonly router: ShardRouter;
  readonly ledger: Ledger;
  readonly logger: LogSink;
}

/** Measures what the empty process takes, sets the limits by that, and watches memory from then on. */
function superviseMemory({ settings, plan, router, ledger, logger }: SupervisorParts): {
  readonly limits: Limits;
  readonly supervisor: Supervisor;
} {
  const baselineBytes = plan.baselineBytes();
  const limits = plan.limitsFor(baselineBytes);
  ledger.setLimits(limits.ceilingBytes, limits.guaranteeBytes, limits.marginBytes);
  const supervisor = new Supervisor({
    thresholdBytes: limits.thresholdBytes,
    shedFraction: settings.SHED_FRACTION,
    baselineBytes,
    intervalMs: settings.SUPERVISOR_INTERVAL_MS,
    probe: () => plan.usedBytes(),
    heldBytes: () =>
      router.shards.map(({ number }) => Math.max(0, ledger.held(number) - EMPTY_SEGMENT_BYTES)),
    shed: (orders) => router.shed(orders),
    isAtCeiling: () => router.shards.some(({ number }) => ledger.isTight(number)),
    now: nowMs,
    onOrder: (report) => logEvent(logger, shedOrderDone(report, settings.SHED_FRACTION)),
    onPressure: (change, used) => logEvent(logger, pressureChanged(change, used, limits)),
    onError: (error) => logger.error({ err: error }, 'memory was not looked at'),
  });
  supervisor.start();
  return { limits, supervisor };
}

/** All HTTP threads listen at the same address. */
async function listen(
  front: FrontApp,
  fronts: Fronts,
  host: string,
  { HOST, PORT, FRONTS }: Settings,
): Promise<ServerUrls> {
  try {
    const isShared = FRONTS > 1;
    await front.listen(host, isShared ? await findFreePort(host, PORT) : PORT, isShared);
    const { server } = front.app;
    const address = server.address() as AddressInfo;
    await fronts.listen({ host, port: address.port });
    return urlsOf(address, server instanceof TlsServer);
  } catch (error) {
    throw listenError(HOST, PORT, error);
  }
}
