import type { Session } from '../session.ts';
import type { FlowControlWindow } from './flow-control-window.ts';
import { ReadQueue, type WaitingRead } from './read-queue.ts';
import type { ReadKind } from './reply-body.ts';

/** A read whose reply waits until earlier large replies have reached their clients. */
export interface DeferredRead extends WaitingRead {
  readonly kind: ReadKind;
}

/** No more reads than this wait; others are refused. */
const MAX_DEFERRED = 4096;

/** Reads that found the flow-control window full. They wait their turn, and hold up nobody else. */
export class DeferredReads {
  private readonly queue = new ReadQueue<DeferredRead & { readonly sinceMs: number }>();
  private readonly window: FlowControlWindow;
  private readonly deadlineMs: number;
  private readonly nowMs: () => number;

  /** @param deadlineMs after which the HTTP thread has given the read up. */
  constructor(window: FlowControlWindow, deadlineMs: number, nowMs: () => number) {
    this.window = window;
    this.deadlineMs = deadlineMs;
    this.nowMs = nowMs;
  }

  /** True while reads wait for room, which other shards may give back without telling. */
  get isWaiting(): boolean {
    return this.queue.length > 0;
  }

  /** @returns false when too many wait already. */
  defer(read: DeferredRead): boolean {
    this.dropOverdue();
    if (this.queue.length >= MAX_DEFERRED) return false;
    this.queue.push({ ...read, sinceMs: this.nowMs() });
    return true;
  }

  /** The next read, if there is room for its reply. */
  next(): DeferredRead | undefined {
    this.dropOverdue();
    return this.window.hasRoom ? this.queue.shift() : undefined;
  }

  /** Takes out the reads of one key, or all of them. */
  take(key?: string): DeferredRead[] {
    return this.queue.take(key);
  }

  forget(session: Session): void {
    this.queue.takeOf(session);
  }

  private dropOverdue(): void {
    const overdueBefore = this.nowMs() - this.deadlineMs;
    while ((this.queue.first?.sinceMs ?? Infinity) < overdueBefore) this.queue.shift();
  }
}
