import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { getHeapStatistics } from 'node:v8';
import type { Watcher } from '../dashboard/feed.ts';
import type { LogEvent } from '../log-events.ts';
import { type HttpFigures, addHttpFigures, countsAlone } from '../metrics/http-figures.ts';
import type { ThreadFigures } from '../shared/thread-meter.ts';
import { ThreadLifeCycle, type ThreadState } from '../worker-threads/thread-life-cycle.ts';
import type {
  Answers,
  FrontAddress,
  FrontStart,
  FromFront,
  Question,
  ShardNews,
  ToFront,
} from './messages.ts';

/** What a front needs of the main thread. */
export interface FrontHost {
  /** What the thread is given. */
  readonly start: (front: number) => FrontStart;
  readonly answer: (about: Question) => Promise<Answers[Question]>;
  readonly feed: { readonly watch: (watcher: Watcher) => void; readonly forget: (watcher: Watcher) => void };
  readonly log: (event: LogEvent) => void;
  /** @param wasServing whether it had connections, which are lost. */
  readonly onDeath: (front: number, wasServing: boolean, error: unknown) => void;
  /** A thread serves in the place of one that has died. */
  readonly onReplaced: (front: number, downMs: number) => void;
}

/** What the fronts hear of each other. */
export interface FrontEvents {
  /** It has started, or has ended. */
  readonly onChange: (front: Front) => void;
  readonly onListening: (front: Front) => void;
}

export interface FrontOptions {
  readonly workerUrl: URL;
  readonly youngMb: number;
  readonly startDeadlineMs: number;
  readonly silenceLimitMs: number;
  /** Figures that have not come by then are those of the last heartbeat. */
  readonly deadlineMs: number;
}

/** A thread that cannot listen, where one before it could, tries again after this time. */
const LISTEN_RETRY_MS = 1000;

const nowMs = (): number => performance.now();
/** Requests are bounded by the heap: so all HTTP threads have heaps of the same size. */
const heapMb = (): number => Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20);

/**
 * The main thread's side of one further HTTP thread: its life cycle, what it is told, and what it asks. Its figures come
 * with each heartbeat, and what its dead threads have counted is kept.
 */
export class Front {
  readonly number: number;
  /** What the thread has done, when last asked. */
  thread: ThreadFigures | undefined;

  private readonly host: FrontHost;
  private readonly events: FrontEvents;
  private readonly deadlineMs: number;
  private readonly life: ThreadLifeCycle;
  private port: MessagePort | undefined;
  private isServing = false;
  private diedServing = false;
  private address: FrontAddress | undefined;
  private readonly firstListening = Promise.withResolvers<void>();
  private closed = Promise.withResolvers<void>();
  /** Requests that it had not answered when it closed. */
  private leftUnanswered: number | undefined;
  private readonly watchers = new Map<number, Watcher>();
  private readonly reading = new Map<number, () => void>();
  private lastId = 0;
  private heardMs = 0;
  private pingedMs = -Infinity;
  private figures: HttpFigures | undefined;
  private figuresOfDead: HttpFigures | undefined;

  constructor(number: number, host: FrontHost, events: FrontEvents, options: FrontOptions) {
    const { workerUrl, youngMb, startDeadlineMs, silenceLimitMs, deadlineMs } = options;
    this.number = number;
    this.host = host;
    this.events = events;
    this.deadlineMs = deadlineMs;
    // Only the start of the server waits for it.
    this.firstListening.promise.catch(() => undefined);
    this.life = new ThreadLifeCycle({
      name: 'HTTP thread',
      thread: { workerUrl, heapMb: heapMb(), youngMb },
      startDeadlineMs,
      silenceLimitMs,
      now: nowMs,
      connect: () => this.connect(),
      disconnect: () => this.disconnect(),
      silenceMs: () => this.ping(),
      onDeath: (error) => host.onDeath(number, this.diedServing, error),
      onChange: () => events.onChange(this),
    });
  }

  get state(): ThreadState {
    return this.life.state;
  }

  get restarts(): number {
    return this.life.restarts;
  }

  /** Starts the thread. @returns when its application is there. */
  start(): Promise<void> {
    return this.life.start(() => this.life.checkHeartbeat());
  }

  /** Whether it has been told to listen; else it is the spare one, or is not up. */
  get serves(): boolean {
    return this.isServing;
  }

  /**
   * Has it serve.
   * @param shards with a new session for each.
   * @returns when one of its threads has listened.
   */
  listen(address: FrontAddress, shards: readonly ShardNews[]): Promise<void> {
    this.isServing = true;
    this.address = address;
    for (const news of shards) this.tellShard(news);
    this.tell({ kind: 'listen', ...address });
    return this.firstListening.promise;
  }

  kill(reason?: string): Promise<void> {
    return this.life.kill(reason);
  }

  /** Nothing is told to a thread that is not there: its successor is given all that matters. */
  tell(message: ToFront, transferList: MessagePort[] = []): void {
    this.port?.postMessage(message, transferList);
  }

  tellShard(news: ShardNews): void {
    this.tell({ kind: 'shard', ...news }, news.session && [news.session.port]);
  }

  /** Has its connections answered and closed, then ends the thread. */
  async close(): Promise<void> {
    if (this.isServing) {
      this.closed = Promise.withResolvers();
      this.tell({ kind: 'close' });
      await this.closed.promise;
    }
    await this.life.stop();
  }

  /** Ends the thread at once. */
  stop(): Promise<void> {
    return this.life.stop();
  }

  /** Asks for its figures. @returns when they have come, or it is clear that they do not. */
  refresh(withThread: boolean): Promise<void> {
    if (this.state !== 'up') return Promise.resolve();
    const id = ++this.lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.endReading(id), this.deadlineMs);
      this.reading.set(id, () => {
        clearTimeout(timer);
        resolve();
      });
      this.tell({ kind: 'figures', id, withThread });
    });
  }

  /** As last read: those of its thread, and those of the threads before it. A spare thread has no connections to give. */
  get lastFigures(): readonly HttpFigures[] {
    const figures = this.figures && !this.isServing ? countsAlone(this.figures) : this.figures;
    return [figures, this.figuresOfDead].filter((each) => each !== undefined);
  }

  /** Requests without an answer, as last read. */
  get unanswered(): number {
    return this.leftUnanswered ?? this.figures?.holds.requests ?? 0;
  }

  private connect(): [task: object, transferList: object[]] {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.heardMs = nowMs();
    this.pingedMs = -Infinity;
    port1.on('message', (message: FromFront) => {
      // What a thread has sent before it died may come when the next one is there.
      if (this.port === port1) this.receive(message);
    });
    return [{ port: port2, start: this.host.start(this.number) }, [port2]];
  }

  private disconnect(): void {
    this.port?.close();
    this.port = undefined;
    this.thread = undefined;
    this.diedServing = this.isServing;
    this.isServing = false;
    for (const watcher of this.watchers.values()) this.host.feed.forget(watcher);
    this.watchers.clear();
    for (const id of this.reading.keys()) this.endReading(id);
    this.closed.resolve();
    // Has no effect once it has listened.
    this.firstListening.reject(new Error('the HTTP thread ended before it listened'));
    if (!this.figures) return;
    this.figuresOfDead = addHttpFigures(this.lastFigures.map(countsAlone));
    this.figures = undefined;
  }

  private receive(message: FromFront): void {
    this.heardMs = nowMs();
    switch (message.kind) {
      case 'ready':
        this.life.becomeUp();
        break;
      case 'listening':
        this.firstListening.resolve();
        this.events.onListening(this);
        break;
      case 'cannot listen':
        // Has no effect once it has listened.
        this.firstListening.reject(message.error);
        setTimeout(() => this.listenAgain(), LISTEN_RETRY_MS).unref();
        break;
      case 'closed':
        this.leftUnanswered = message.unanswered;
        this.closed.resolve();
        break;
      case 'figures':
        this.figures = message.http;
        if (message.thread) this.thread = message.thread;
        this.endReading(message.id);
        break;
      case 'question':
        void this.answer(message.id, message.about);
        break;
      case 'watch':
        this.watch(message.watcher);
        break;
      case 'forget':
        this.forget(message.watcher);
        break;
      case 'log':
        this.host.log(message.event);
        break;
    }
  }

  private listenAgain(): void {
    if (this.isServing && this.address) this.tell({ kind: 'listen', ...this.address });
  }

  private endReading(id: number): void {
    const end = this.reading.get(id);
    this.reading.delete(id);
    end?.();
  }

  /** @returns how long the thread has been silent since it was last pinged. */
  private ping(): number {
    if (this.heardMs >= this.pingedMs) {
      this.pingedMs = nowMs();
      this.tell({ kind: 'figures', id: 0, withThread: false });
    }
    return nowMs() - this.pingedMs;
  }

  private async answer(id: number, about: Question): Promise<void> {
    const { port } = this;
    const answer = await this.host.answer(about).catch(() => undefined);
    // The thread that has asked may be gone.
    if (this.port === port) this.tell({ kind: 'answer', id, answer });
  }

  private watch(id: number): void {
    const watcher: Watcher = {
      send: (message) => {
        this.tell({ kind: 'feed', watcher: id, message });
        return true;
      },
      end: () => this.tell({ kind: 'end feed', watcher: id }),
    };
    this.watchers.set(id, watcher);
    this.host.feed.watch(watcher);
  }

  private forget(id: number): void {
    const watcher = this.watchers.get(id);
    this.watchers.delete(id);
    if (watcher) this.host.feed.forget(watcher);
  }
}
