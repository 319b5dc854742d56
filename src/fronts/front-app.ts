import { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import packageJson from '../../package.json' with { type: 'json' };
import type { AccessFiles } from '../config/access-files.ts';
import type { TrafficLimits } from '../config/memory-shares.ts';
import { parseOriginList } from '../config/origin-list.ts';
import { parseProxyList } from '../config/proxy-list.ts';
import type { Settings } from '../config/settings.ts';
import { type AppOptions, createApp } from '../http/app.ts';
import { MAX_WHOLE_BYTES } from '../shards/router.ts';
import { type LogSink, connectionPressureChanged, logEvent, requestWasSlow } from '../log-events.ts';
import { Traffic } from '../metrics/traffic.ts';

type Given = Pick<
  AppOptions,
  'router' | 'rateCells' | 'replyWaits' | 'stats' | 'metrics' | 'feed' | 'traffic' | 'onNodeChange'
>;

export interface FrontAppOptions extends Given {
  readonly settings: Settings;
  /** The share of this HTTP thread. */
  readonly limits: TrafficLimits;
  readonly access: AccessFiles;
  readonly logger: LogSink;
}

/** The application of one HTTP thread, main thread or not, and what of it changes while it runs. */
export class FrontApp {
  readonly app: FastifyInstance;
  private readonly current: ReturnType<typeof currentOf>;

  private constructor(app: FastifyInstance, current: ReturnType<typeof currentOf>) {
    this.app = app;
    this.current = current;
  }

  static async create({ settings, limits, access, logger, ...given }: FrontAppOptions): Promise<FrontApp> {
    const current = { ...currentOf(access), isShuttingDown: false };
    const app = await createApp({
      ...settingsOf(settings, limits),
      ...given,
      tls: access.tls,
      access: current,
      isShuttingDown: () => current.isShuttingDown,
      onUnexpectedError: (error) => logger.error({ err: error }, 'unexpected error'),
    });
    return new FrontApp(app, current);
  }

  /** @param isShared whether other threads listen at the same address: the kernel shares the connections out. */
  async listen(host: string, port: number, isShared: boolean): Promise<void> {
    const options = { host, port, ...(isShared && { reusePort: true }) };
    await this.app.listen(options);
  }

  /** Replaces the tokens and, for new connections, the certificate. */
  useAccess(access: AccessFiles): void {
    const { server } = this.app;
    const { token, readToken } = currentOf(access);
    Object.assign(this.current, { token, readToken });
    if (server instanceof TlsServer && access.tls) server.setSecureContext(access.tls);
  }

  /** From now on, `/ready` answers 503. Connections are accepted and served as before. */
  beginShutdown(): void {
    this.current.isShuttingDown = true;
  }
}

/** The traffic of one HTTP thread, and what of it is logged. */
export function trafficOf(logger: LogSink): Traffic {
  return new Traffic({
    onSlow: (slow) => logEvent(logger, requestWasSlow(slow)),
    onConnectionPressure: (change, limit) => logEvent(logger, connectionPressureChanged(change, limit)),
  });
}

function currentOf({ authToken: token, readToken }: AccessFiles) {
  return { token, readToken, isShuttingDown: false };
}

/** The options that follow from the settings and the memory limit. */
function settingsOf(settings: Settings, limits: TrafficLimits) {
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
    fronts: settings.FRONTS,
    bodyBudgetBytes: limits.bodyBudgetBytes,
    unreadBytes: limits.unreadBytes,
    unsentBytes: limits.unsentBytes,
    maxTlsConnections: limits.maxTlsConnections,
    collectEveryBytes: limits.collectEveryBytes,
  };
}
