import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { Ledger } from '../src/shared/ledger.ts';
import { Doorbell, WAIT_MS } from '../src/shared/doorbell.ts';
import type { ControlReply, FromShard, ShardStart, ToShard } from '../src/shared/protocol.ts';
import { RingPoller } from './ring-poller.ts';
import { ShardActor } from './shard-actor.ts';
import { SegmentStore } from './store/segment-store.ts';

const MAINTENANCE_INTERVAL_MS = 100;
/** While there is more of it to do. */
const BACKLOG_INTERVAL_MS = 10;
const INTEGRITY_INTERVAL_MS = 5000;
/** After so long it returns to its event loop, where timers and callbacks have their turn. */
const TURN_MS = 4;
/**
 * While it sheds: so long before each slice it only serves, and for the most part sleeps. Without that it would take
 * the processor from the threads that its requests come from, a whole time slice at a time.
 */
const REST_MS = 1.5;
/** An order that takes longer than this goes on without rests: the memory is wanted. */
const RESTING_MS = 400;

const nowMs = (): number => performance.now();

/** Piscina's handler: one task per shard, which ends only with its thread. */
export default function runShard({ port, start }: { port: MessagePort; start: ShardStart }): Promise<never> {
  const store = new SegmentStore({
    shard: start.shard,
    ledger: new Ledger(start.ledger, start.ledgerUnitBytes),
    entryLedger: start.entryLedger && new Ledger(start.entryLedger, 1),
    seed: start.seed,
    // The time of day may be set, and entries would expire early or late.
    now: () => performance.timeOrigin + performance.now(),
  });
  const doorbell = new Doorbell(start.doorbell);
  const poller = new RingPoller(doorbell);
  const actor = new ShardActor({
    store,
    post: (message: FromShard, handedOver) => {
      // A list to look through costs something, even when it is empty.
      if (handedOver) port.postMessage(message, handedOver);
      else port.postMessage(message);
      doorbell.answer();
    },
    gzipThresholdBytes: start.gzipThresholdBytes,
    shard: start.shard,
    replyCells: new Int32Array(start.replyCells),
    replyWindow: start.replyWindow,
    deadlineMs: start.deadlineMs,
    nowMs,
    defer: setImmediate,
    deferSlice: (slice, ageMs) => {
      dueSlice = slice;
      deferredMs = nowMs();
      setImmediate(() => {
        // Where nobody asks for anything there is nobody to make room for.
        if (isAsked && ageMs < RESTING_MS) isAsked = serve(receive(port), REST_MS) || actor.isCompressing;
        if (dueSlice === slice) runSlice();
      });
    },
  });
  let isAsked = true;
  let dueSlice: (() => void) | undefined;
  let deferredMs = 0;
  let maintainedMs = nowMs();
  let maintenanceTimer: NodeJS.Timeout | undefined;

  function runSlice(): void {
    const slice = dueSlice;
    dueSlice = undefined;
    slice?.();
  }

  function maintain(): void {
    maintainedMs = nowMs();
    clearTimeout(maintenanceTimer);
    const hasMore = actor.maintain();
    maintenanceTimer = setTimeout(maintain, hasMore ? BACKLOG_INTERVAL_MS : MAINTENANCE_INTERVAL_MS);
  }

  /** The port hands over many messages before it lets timers and callbacks have their turn. */
  function catchUp(): void {
    if (dueSlice && nowMs() - deferredMs > 2 * REST_MS) runSlice();
    if (nowMs() - maintainedMs > 2 * MAINTENANCE_INTERVAL_MS) maintain();
  }

  /** Handles messages until none comes for a while, or the turn is over. @returns whether there was one. */
  function serve(first: ToShard | undefined, turnMs: number): boolean {
    const endMs = nowMs() + turnMs;
    let message = first;
    let hasServed = false;
    do {
      if (message !== undefined) {
        actor.handle(message);
        hasServed = true;
      }
      const { rings } = doorbell;
      const leftMs = endMs - nowMs();
      message = leftMs > 0 ? receive(port) : undefined;
      if (message === undefined && leftMs > 0 && !actor.isCompressing) {
        const isRung = start.pollsForRequests && !actor.isShedding && poller.poll(rings);
        if (!isRung) doorbell.wait(rings, Math.min(leftMs, WAIT_MS));
        message = receive(port);
      }
    } while (message !== undefined);
    return hasServed;
  }

  port.on('message', (message: ToShard) => {
    isAsked = true;
    serve(message, actor.isShedding ? 0 : TURN_MS);
    catchUp();
  });
  maintain();
  if (start.checksIntegrity) setInterval(() => store.checkIntegrity(), INTEGRITY_INTERVAL_MS);
  port.postMessage({ kind: 'ready' } satisfies ControlReply);
  return new Promise(() => undefined);
}

function receive(port: MessagePort): ToShard | undefined {
  // Only the mailbox posts to this port.
  const received: { message: ToShard } | undefined = receiveMessageOnPort(port);
  return received?.message;
}
