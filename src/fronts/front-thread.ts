import type { MessagePort } from 'node:worker_threads';
import { shrinkHeap } from '../http/fast/node-internals.ts';
import { ReplyWaits } from '../http/intake/reply-waits.ts';
import type { LogEvent, LogSink } from '../log-events.ts';
import { readHttpFigures } from '../metrics/http-figures.ts';
import { Ledger } from '../shared/ledger.ts';
import { ThreadMeter } from '../shared/thread-meter.ts';
import { type HttpRouter, ShardRouter } from '../shards/router.ts';
import { FrontApp, trafficOf } from './front-app.ts';
import { FrontShard } from './front-shard.ts';
import { MainLink } from './main-link.ts';
import type { FrontAddress, FrontStart, FromFront, ToFront } from './messages.ts';

const nowMs = (): number => performance.now();

/** One further HTTP thread: the same application as the main thread's, with sessions of its own. */
class FrontThread {
  private readonly port: MessagePort;
  private readonly shards: readonly FrontShard[];
  private readonly router: HttpRouter;
  private readonly link: MainLink;
  private readonly front: FrontApp;
  private readonly meter = new ThreadMeter(nowMs);

  private constructor(port: MessagePort, { shards, router }: Routing, link: MainLink, front: FrontApp) {
    this.port = port;
    this.shards = shards;
    this.router = router;
    this.link = link;
    this.front = front;
  }

  static async start(port: MessagePort, start: FrontStart): Promise<void> {
    const post = (message: FromFront): void => port.postMessage(message);
    const routing = createRouting(start);
    const link = new MainLink(post);
    const logger = loggerTo((event) => post({ kind: 'log', event }));
    const front = await FrontApp.create({
      settings: start.settings,
      limits: start.traffic,
      access: start.access,
      logger,
      router: routing.router,
      rateCells: start.rateCells,
      replyWaits: new ReplyWaits(start.waitCells, start.front),
      stats: () => link.ask('stats'),
      metrics: () => link.ask('metrics'),
      feed: link,
      traffic: trafficOf(logger),
      // The main thread has said it: it is the same Node.
      onNodeChange: () => undefined,
    });
    if (start.isShuttingDown) front.beginShutdown();
    // What the start has left behind takes 7 MiB and more.
    shrinkHeap();
    const thread = new FrontThread(port, routing, link, front);
    port.on('message', (message: ToFront) => thread.receive(message));
    thread.post({ kind: 'ready' });
  }

  private post(message: FromFront): void {
    this.port.postMessage(message);
  }

  private receive(message: ToFront): void {
    switch (message.kind) {
      case 'shard':
        this.shards[message.shard].hear(message);
        break;
      case 'listen':
        void this.listen(message);
        break;
      case 'access':
        this.front.useAccess(message.access);
        break;
      case 'begin shutdown':
        this.front.beginShutdown();
        break;
      case 'close':
        void this.close();
        break;
      case 'figures':
        this.tellFigures(message.id, message.withThread);
        break;
      default:
        this.link.receive(message);
    }
  }

  private async listen({ host, port }: FrontAddress): Promise<void> {
    try {
      await this.front.listen(host, port, true);
      this.post({ kind: 'listening' });
    } catch (error) {
      this.post({ kind: 'cannot listen', error });
    }
  }

  private async close(): Promise<void> {
    const { app } = this.front;
    await app.close();
    this.post({ kind: 'closed', unanswered: app.purse.totals.requests });
  }

  private tellFigures(id: number, withThread: boolean): void {
    const { front, router, meter } = this;
    const http = readHttpFigures({ app: front.app, router });
    this.post({ kind: 'figures', id, http, thread: withThread ? meter.read() : undefined });
  }
}

interface Routing {
  readonly shards: readonly FrontShard[];
  readonly router: HttpRouter;
}

function createRouting({ routing, shards: news, settings }: FrontStart): Routing {
  const shards = news.map((one) => new FrontShard(one, { ...routing.mailbox, now: nowMs }));
  const ledger = new Ledger(routing.ledger, routing.ledgerUnitBytes);
  const { seed, tier } = routing;
  const router = new ShardRouter(shards, ledger, seed, settings.REQUEST_DEADLINE_MS, tier);
  return { shards, router };
}

function loggerTo(tell: (event: LogEvent) => void): LogSink {
  const at =
    (level: LogEvent['level']) =>
    (fields: object, message: string): void =>
      tell({ level, message, fields });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** What the thread runs: one task per front, which ends only with its thread. */
export default async function runFront(task: { port: MessagePort; start: FrontStart }): Promise<never> {
  await FrontThread.start(task.port, task.start);
  return new Promise(() => undefined);
}
