import type { FastifyInstance } from 'fastify';
import packageJson from '../package.json' with { type: 'json' };
import type { EventRing } from './dashboard/events.ts';
import { Feed } from './dashboard/feed.ts';
import type { Fronts } from './fronts/fronts.ts';
import type { Answers } from './fronts/messages.ts';
import type { LogSink } from './log-events.ts';
import { type HttpFigures, addHttpFigures, readHttpFigures } from './metrics/http-figures.ts';
import type { Metrics } from './metrics/metrics.ts';
import { type StatsSources, statsReport } from './stats-report.ts';

/** Milliseconds since the epoch; never goes back. */
const nowMs = (): number => Math.round(performance.timeOrigin + performance.now());

export type Sources = StatsSources & { readonly fronts: Fronts; readonly app: FastifyInstance };

/** What the main thread alone can say, for all HTTP threads: the figures of all, and the dashboard. */
export class Reports {
  readonly feed: Feed;
  private readonly metrics: Metrics;
  private readonly sources: () => Sources;

  /** @param sources asked for once the server listens, when all of them are there. */
  constructor(metrics: Metrics, sources: () => Sources, events: EventRing, logger: LogSink) {
    this.metrics = metrics;
    this.sources = sources;
    this.feed = new Feed({
      version: packageJson.version,
      stats: () => this.stats(),
      times: async () => (await this.readHttp()).times,
      events,
      nowMs,
      onError: (error) => logger.error({ err: error }, 'the dashboard could not be told'),
    });
  }

  async stats(): ReturnType<typeof statsReport> {
    return statsReport(this.sources(), await this.readHttp());
  }

  async metricsText(): Promise<string> {
    const http = await this.readHttp(true);
    return this.metrics.text(this.sources(), http);
  }

  /** Answers a question of another HTTP thread. */
  async answer(about: keyof Answers): Promise<Answers[keyof Answers]> {
    if (about === 'feedRoom') return this.feed.hasRoom();
    return about === 'stats' ? this.stats() : this.metricsText();
  }

  private async readHttp(withThreads = false): Promise<HttpFigures> {
    const { fronts, app, router } = this.sources();
    await fronts.refresh(withThreads);
    return addHttpFigures([readHttpFigures({ app, router }), ...fronts.figures]);
  }
}
