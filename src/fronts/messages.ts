import type { AccessFiles } from '../config/access-files.ts';
import type { TrafficLimits } from '../config/memory-shares.ts';
import type { Settings } from '../config/settings.ts';
import type { LogEvent } from '../log-events.ts';
import type { HttpFigures } from '../metrics/http-figures.ts';
import type { ThreadFigures } from '../shared/thread-meter.ts';
import type { RoutingStart } from '../shards/create-shards.ts';
import type { SessionEnd } from '../shards/mailbox.ts';
import type { ThreadState } from '../worker-threads/thread-life-cycle.ts';

/** How a shard is now. While it is up, its news bring an end of a session that is handed over. */
export interface ShardNews {
  readonly shard: number;
  readonly state: ThreadState;
  readonly restarts: number;
  readonly session: SessionEnd | undefined;
}

/** Everything that a front needs to start, given to it in Piscina's task. */
export interface FrontStart {
  readonly front: number;
  readonly settings: Settings;
  /** Its share. */
  readonly traffic: TrafficLimits;
  readonly access: AccessFiles;
  readonly routing: RoutingStart;
  readonly shards: readonly ShardNews[];
  /** Where all fronts count requests for `RATE_LIMIT`, if that is set. */
  readonly rateCells: SharedArrayBuffer | undefined;
  /** For `ReplyWaits`. */
  readonly waitCells: SharedArrayBuffer;
  readonly isShuttingDown: boolean;
}

export interface FrontAddress {
  readonly host: string;
  readonly port: number;
}

/** What the main thread alone knows, and a front asks for. */
export interface Answers {
  readonly stats: object;
  readonly metrics: string;
  /** Whether one more may watch the dashboard. */
  readonly feedRoom: boolean;
}

export type Question = keyof Answers;

/** Notices but for `figures`, which is answered with the same number. */
export type ToFront =
  | ({ readonly kind: 'shard' } & ShardNews)
  | ({ readonly kind: 'listen' } & FrontAddress)
  | { readonly kind: 'access'; readonly access: AccessFiles }
  | { readonly kind: 'begin shutdown' }
  | { readonly kind: 'close' }
  | { readonly kind: 'figures'; readonly id: number; readonly withThread: boolean }
  /** To a question. Absent where it could not be answered. */
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answers[Question] | undefined }
  | { readonly kind: 'feed'; readonly watcher: number; readonly message: Uint8Array }
  | { readonly kind: 'end feed'; readonly watcher: number };

export type FromFront =
  /** The application is there, and does not listen yet. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'listening' }
  | { readonly kind: 'cannot listen'; readonly error: unknown }
  /** Every connection has had its answers, and is closed. Requests behind the last answer are not answered. */
  | { readonly kind: 'closed'; readonly unanswered: number }
  | {
      readonly kind: 'figures';
      readonly id: number;
      readonly http: HttpFigures;
      /** Where it was asked for. */
      readonly thread: ThreadFigures | undefined;
    }
  | { readonly kind: 'question'; readonly id: number; readonly about: Question }
  | { readonly kind: 'watch' | 'forget'; readonly watcher: number }
  | { readonly kind: 'log'; readonly event: LogEvent };
