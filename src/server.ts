import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import packageJson from '../package.json' with { type: 'json' };
import type { AccessFiles } from './config/access-files.ts';
import { type Limits, type TrafficLimits, deriveTrafficLimits } from './config/memory-shares.ts';
import { parseOriginList } from './config/origin-list.ts';
import { parseProxyList } from './config/proxy-list.ts';
import type { Settings } from './config/settings.ts';
import { EventRing } from './dashboard/events.ts';
import { Feed, type FeedOptions } from './dashboard/feed.ts';
import { type ServerUrls, listenError, resolveHost, urlsOf } from './listening.ts';
import {
  type LogSink,
  connectionPressureChanged,
  listening,
  logEvent,
  nodeChanged,
  pressureChanged,
  requestWasSlow,
  shardDied,
  shardIsBackUp,
  shedOrderDone,
  tierChanged,
} from './log-events.ts';
import { MemoryPlan } from './memory/memory-plan.ts';
import type { MemoryLimit } from './memory/probe.ts';
import { Supervisor } from './memory/supervisor.ts';
import { Metrics } from './metrics/metrics.ts';
import type { TrafficReports } from './metrics/traffic.ts';
import type { Ledger } from './shared/ledger.ts';
import { EMPTY_SEGMENT_BYTES } from './shared/segment-sizes.ts';
import { type ShardsOptions, createShards } from './shards/create-shards.ts';
import { MAX_WHOLE_BYTES, type ShardRouter } from './shards/router.ts';
import { statsReport } from './stats-report.ts';

const WORKER_URL = new URL('../workers/shard-worker.ts', import.meta.url);
/** Milliseconds since the epoch; never goes back. */
const nowMs = (): number => Math.round(performance.timeOrigin + performance.now());
const OPEN_ACCESS: AccessFiles = { authToken: undefined, readToken: undefined, tls: undefined };

export interface RunningServer {
  readonly app: FastifyInstance;
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
  /** From now on, `/ready` answers 503. Connections are accepted and served as before. */
  readonly beginShutdown: () => void;
  /** Stops accepting connections, answers the requests in flight, then stops the shards. */
  readonly close: () => Promise<void>;
}

/** Loads all modules of the server and its shards. */
export async function loadAll(): Promise<void> {
  await import('./http/app.ts');
  // `require`, as Piscina does: the compile cache keeps what is imported under another key.
  createRequire(import.meta.url)(fileURLToPath(WORKER_URL));
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
  plan.checkRoomForShards();
  const { memoryLimit } = plan;
  const bounds = deriveTrafficLimits(memoryLimit.limitBytes, settings.MEMORY_THRESHOLD, settings.SHARDS);
  const { router, ledger } = createShards({
    settings,
    guaranteeBytes: plan.fullGuaranteeBytes,
    replyWindowBytes: bounds.replyWindowBytes,
    workerUrl,
    ...shardEvents(logger),
  });
  // Disposed of in reverse order: at once if the start fails, else by `close`.
  await using parts = new AsyncDisposableStack();
  parts.defer(() => router.stop());
  // The threads start while the main thread is busy loading the HTTP layer.
  const [{ createApp }] = await Promise.all([import('./http/app.ts'), router.start()]);

  const metrics = new Metrics(packageJson.version, trafficEvents(logger));
  // Asked for once the server listens, when all of these are there.
  const sources = () => ({ settings, memoryLimit, limits, supervisor, router, ledger });
  const current = { ...tokensOf(access), isShuttingDown: false };
  const app = await createApp({
    ...settingsOf(settings, bounds),
    router,
    tls: access.tls,
    access: current,
    isShuttingDown: () => current.isShuttingDown,
    ...reportsTo(logger),
    stats: () => statsReport(sources(), app),
    feed: createFeed(() => statsReport(sources(), app), metrics.traffic.times, events, logger),
    metrics: () => metrics.text(sources(), app),
    traffic: metrics.traffic,
  });
  parts.defer(() => app.close().then(() => metrics.stop()));

  const baselineBytes = plan.usedBytes();
  const limits = plan.limitsFor(baselineBytes);
  ledger.setLimits(limits.ceilingBytes, limits.guaranteeBytes, limits.marginBytes);
  const supervisor = createSupervisor({ settings, plan, limits, baselineBytes, router, ledger, logger });
  supervisor.start();
  parts.defer(() => supervisor.stop());

  const { bound, ...reach } = await listen(app, address, settings);
  logEvent(logger, listening(bound, settings.SHARDS, limits, memoryLimit));
  const running = parts.move();
  const beginShutdown = (): void => void (current.isShuttingDown = true);
  return {
    app,
    router,
    supervisor,
    limits,
    logger,
    memoryLimit,
    ...reach,
    useAccess: (files) => useAccess(app, current, files),
    beginShutdown,
    close: () => {
      beginShutdown();
      return running.disposeAsync();
    },
  };
}

function tokensOf({ authToken: token, readToken }: AccessFiles) {
  return { token, readToken };
}

function useAccess(
  { server }: FastifyInstance,
  current: ReturnType<typeof tokensOf>,
  files: AccessFiles,
): void {
  Object.assign(current, tokensOf(files));
  if (server instanceof TlsServer && files.tls) server.setSecureContext(files.tls);
}

/** What is logged from now on, the dashboard tells, too. */
function recordEvents({ LOG_LEVEL }: Settings, log: LogSink): { events: EventRing; logger: LogSink } {
  const events = new EventRing(nowMs);
  return { events, logger: events.recording(log, LOG_LEVEL === 'debug' || LOG_LEVEL === 'trace') };
}

function createFeed(
  stats: FeedOptions['stats'],
  times: FeedOptions['times'],
  events: EventRing,
  logger: LogSink,
): Feed {
  return new Feed({
    version: packageJson.version,
    stats,
    times,
    events,
    nowMs,
    onError: (error) => logger.error({ err: error }, 'the dashboard could not be told'),
  });
}

async function addressOf(host: string, logger: LogSink): Promise<string> {
  const { address, others } = await resolveHost(host);
  if (others.length > 0) {
    logger.info({ host, address, others }, 'HOST has several addresses; listens on one');
  }
  return address;
}

function shardEvents(logger: LogSink): Pick<ShardsOptions, 'onDeath' | 'onRestart' | 'onTierChange'> {
  return {
    onDeath: (shard, heldBytes, error) => logEvent(logger, shardDied(shard, heldBytes, error)),
    onRestart: (shard, downMs) => logEvent(logger, shardIsBackUp(shard, downMs)),
    onTierChange: (...change) => logEvent(logger, tierChanged(...change)),
  };
}

function trafficEvents(logger: LogSink): TrafficReports {
  return {
    onSlow: (slow) => logEvent(logger, requestWasSlow(slow)),
    onConnectionPressure: (change, limit) => logEvent(logger, connectionPressureChanged(change, limit)),
  };
}

/** What the HTTP layer reports. */
function reportsTo(logger: LogSink) {
  return {
    onNodeChange: (internal: string, fallback: string) => logEvent(logger, nodeChanged(internal, fallback)),
    onUnexpectedError: (error: Error) => logger.error({ err: error }, 'unexpected error'),
  };
}

/** The options of the HTTP layer that follow from the settings and the memory limit. */
function settingsOf(settings: Settings, traffic: TrafficLimits) {
  return {
    version: packageJson.version,
    maxKeyLength: settings.MAX_KEY_LENGTH,
    maxValueBytes: settings.MAX_VALUE_BYTES,
    // What comes in pieces is not passed on to an engine.
    maxRawBytes:
      settings.TIER_URL === '' ? settings.MAX_RAW_BYTES : Math.min(settings.MAX_RAW_BYTES, MAX_WHOLE_BYTES),
    gzipThresholdBytes: settings.GZIP_THRESHOLD_BYTES,
    rateLimit: settings.RATE_LIMIT,
    trustedProxies: parseProxyList(settings.TRUST_PROXY) ?? undefined,
    // The settings have been checked.
    corsOrigins: parseOriginList(settings.CORS_ORIGIN)!,
    deadlineMs: settings.REQUEST_DEADLINE_MS,
    bodyBudgetBytes: traffic.bodyBudgetBytes,
    unreadBytes: traffic.unreadBytes,
    unsentBytes: traffic.unsentBytes,
    maxTlsConnections: traffic.maxTlsConnections,
    collectEveryBytes: traffic.collectEveryBytes,
  };
}

interface SupervisorParts {
  readonly settings: Settings;
  readonly plan: MemoryPlan;
  readonly limits: Limits;
  readonly baselineBytes: number;
  readonly router: ShardRouter;
  readonly ledger: Ledger;
  readonly logger: LogSink;
}

function createSupervisor(parts: SupervisorParts): Supervisor {
  const { settings, plan, limits, baselineBytes, router, ledger, logger } = parts;
  return new Supervisor({
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
}

async function listen(app: FastifyInstance, host: string, { HOST, PORT }: Settings): Promise<ServerUrls> {
  try {
    await app.listen({ host, port: PORT });
    return urlsOf(app.server.address() as AddressInfo, app.server instanceof TlsServer);
  } catch (error) {
    throw listenError(HOST, PORT, error);
  }
}
