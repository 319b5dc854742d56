import type { MessagePort } from 'node:worker_threads';
import { Doorbell, WAIT_MS } from '../src/shared/doorbell.ts';
import type { ControlReply, ToShard } from '../src/shared/protocol.ts';
import { replyMemoryBytes } from '../src/shared/reply-memory.ts';
import type { ShardStart } from '../src/shared/shard-start.ts';
import { isSnapshotRequest } from '../src/shared/snapshots.ts';
import { ThreadMeter } from '../src/shared/thread-meter.ts';
import { RingPoller } from './ring-poller.ts';
import { Session } from './session.ts';
import { type ActorOptions, ShardActor } from './shard-actor.ts';
import type { SegmentStore } from './store/segment-store.ts';

const MAINTENANCE_INTERVAL_MS = 100;
/** While there is more to do. */
const BACKLOG_INTERVAL_MS = 10;
const INTEGRITY_INTERVAL_MS = 5000;
/** How long the thread serves before it returns to its event loop, for timers and callbacks. */
const TURN_MS = 4;
/**
 * While it sheds, the thread serves this long before each slice, and for the most part sleeps. Otherwise it would take
 * the processor from the threads that its requests come from, for a whole time slice of the system: see ADR 10.
 */
const REST_MS = 1.5;
/** A shed order that takes longer goes on without rests, since the memory is wanted. */
const MAX_RESTING_MS = 400;

const nowMs = (): number => performance.now();

/**
 * The thread of one shard: what it does when. It serves its sessions in turn, so that none keeps the others waiting;
 * between messages it sleeps at the doorbell for a moment, and then in its event loop. Maintenance and the slices of
 * shed orders come in between.
 */
export class ShardLoop {
  private readonly store: SegmentStore;
  private readonly actor: ShardActor;
  private readonly doorbell: Doorbell;
  private readonly poller: RingPoller;
  private readonly sessions: Session[] = [];
  private readonly replyMemoryBytes: number;
  /** The session that was served last, as a place in `sessions`. */
  private turn = 0;
  /** True if a request has come since the last rest. */
  private isAsked = true;
  /** The next slice of a shed order, or of a snapshot, while it waits. */
  private dueSlice: (() => void) | undefined;
  private sliceDeferredMs = 0;
  private maintainedMs = nowMs();
  private maintenanceTimer: NodeJS.Timeout | undefined;
  /** Whether sockets need turns of the event loop, however many messages come. */
  private readonly givesTurns: boolean;
  /** Messages that wait for the next turn of the event loop. */
  private readonly putOff: { readonly session: Session; readonly message: ToShard }[] = [];
  private turnBeganMs: number | undefined;

  constructor(store: SegmentStore, start: ShardStart, createTier?: ActorOptions['createTier']) {
    this.givesTurns = createTier !== undefined;
    this.store = store;
    this.replyMemoryBytes = replyMemoryBytes(start.replyWindowBytes);
    this.doorbell = new Doorbell(start.doorbell);
    this.poller = new RingPoller(this.doorbell, start.pollsForRequests);
    const meter = new ThreadMeter(nowMs);
    this.actor = new ShardActor({
      store,
      gzipThresholdBytes: start.gzipThresholdBytes,
      shard: start.shard,
      replyCells: new Int32Array(start.replyCells),
      replyWindowBytes: start.replyWindowBytes,
      deadlineMs: start.deadlineMs,
      nowMs,
      defer: setImmediate,
      deferSlice: (slice, ageMs) => this.deferSlice(slice, ageMs),
      readThread: () => meter.read(),
      createTier,
    });
  }

  /** @param checksIntegrity whether to check the whole segment now and then, which takes long. */
  start(port: MessagePort, checksIntegrity: boolean): void {
    this.maintain();
    if (checksIntegrity) setInterval(() => this.store.checkIntegrity(), INTEGRITY_INTERVAL_MS);
    this.connect(port, this.doorbell);
  }

  private connect(port: MessagePort, doorbell: Doorbell): void {
    const session = new Session(port, doorbell, this.replyMemoryBytes);
    this.sessions.push(session);
    port.on('message', (message: ToShard) => this.takeTurn(session, message));
    port.on('close', () => this.disconnect(session));
    port.postMessage({ kind: 'ready' } satisfies ControlReply);
  }

  private disconnect(session: Session): void {
    session.close();
    this.sessions.splice(this.sessions.indexOf(session), 1);
    this.actor.forget(session);
  }

  private takeTurn(session: Session, message: ToShard): void {
    if (!isSnapshotRequest(message)) this.isAsked = true;
    if (this.givesTurns && this.isTurnOver()) {
      this.putOff.push({ session, message });
      return;
    }
    const startMs = nowMs();
    this.handle(session, message);
    this.serveUntil(this.actor.hasSlices ? startMs : startMs + TURN_MS);
    this.catchUp();
  }

  /** A port delivers messages for as long as more of them come, and sockets have no turn meanwhile. */
  private isTurnOver(): boolean {
    const now = nowMs();
    if (this.turnBeganMs === undefined) {
      this.turnBeganMs = now;
      setImmediate(() => this.beginTurn());
    }
    return this.putOff.length > 0 || now - this.turnBeganMs >= TURN_MS;
  }

  private beginTurn(): void {
    this.turnBeganMs = undefined;
    while (this.putOff.length > 0) this.handleNext();
  }

  private handle(session: Session, message: ToShard): void {
    this.poller.noteSender(session);
    if (typeof message === 'object' && message.kind === 'connect') {
      this.connect(message.port, new Doorbell(message.doorbell));
    } else {
      this.actor.handle(session, message);
    }
  }

  /** Handles messages until none comes for a while, or the time is over. @returns whether there was one. */
  private serveUntil(endMs: number): boolean {
    let hasServed = false;
    for (;;) {
      const { rings } = this.doorbell;
      const leftMs = endMs - nowMs();
      if (leftMs <= 0) return hasServed;
      if (!this.handleNext()) {
        if (this.actor.needsTurns) return hasServed;
        this.waitForRing(rings, leftMs);
        if (!this.handleNext()) return hasServed;
      }
      hasServed = true;
    }
  }

  /** Handles the next message of the sessions, which have turns. @returns whether there was one. */
  private handleNext(): boolean {
    const { sessions } = this;
    const putOff = this.putOff.shift();
    if (putOff) {
      this.handle(putOff.session, putOff.message);
      return true;
    }
    for (let i = 0; i < sessions.length; i++) {
      this.turn = (this.turn + 1) % sessions.length;
      const session = sessions[this.turn];
      const message = session.receive();
      if (message !== undefined) {
        this.handle(session, message);
        return true;
      }
    }
    return false;
  }

  private waitForRing(rings: number, leftMs: number): void {
    const isRung = !this.actor.hasSlices && this.poller.poll(rings);
    if (!isRung) this.doorbell.wait(rings, Math.min(leftMs, WAIT_MS));
  }

  /** Runs a slice of a shed order, or of a snapshot, in the next turn of the event loop, after a rest if requests keep coming. */
  private deferSlice(slice: () => void, ageMs: number): void {
    this.dueSlice = slice;
    this.sliceDeferredMs = nowMs();
    setImmediate(() => {
      if (this.isAsked && ageMs < MAX_RESTING_MS) {
        this.isAsked = this.serveUntil(nowMs() + REST_MS) || this.actor.needsTurns;
      }
      if (this.dueSlice === slice) this.runSlice();
    });
  }

  private runSlice(): void {
    const slice = this.dueSlice;
    this.dueSlice = undefined;
    slice?.();
  }

  private maintain(): void {
    this.maintainedMs = nowMs();
    clearTimeout(this.maintenanceTimer);
    const hasMore = this.actor.maintain();
    const delayMs = hasMore ? BACKLOG_INTERVAL_MS : MAINTENANCE_INTERVAL_MS;
    this.maintenanceTimer = setTimeout(() => this.maintain(), delayMs);
  }

  /** A port may deliver many messages before timers and callbacks have their turn: does what is overdue. */
  private catchUp(): void {
    if (this.dueSlice && nowMs() - this.sliceDeferredMs > 2 * REST_MS) this.runSlice();
    if (nowMs() - this.maintainedMs > 2 * MAINTENANCE_INTERVAL_MS) this.maintain();
  }
}
