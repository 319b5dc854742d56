import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { Ledger } from '../src/base/ledger.ts';
import { Doorbell, WAIT_MS } from '../src/mailbox/doorbell.ts';
import type { ControlReply, ControlRequest, ShardStart } from '../src/mailbox/protocol.ts';
import { ShardActor } from './shard-actor.ts';
import { SegmentStore } from './store/segment-store.ts';

const MAINTENANCE_INTERVAL_MS = 100;
/** And how long of that it looks for it without pause: about twice the time between two requests of one client. */
const POLL_MS = 0.25;
/** A longer batch is one of many requests: then sleeping between batches costs each of them little. */
const SMALL_BATCH_CHARACTERS = 512;
/** Timers and callbacks of this thread have their turn at least this often. */
const TURN_MS = 4;

const nowMs = (): number => performance.now();

function isSmall(message: string | ControlRequest): boolean {
  return typeof message === 'string' && message.length <= SMALL_BATCH_CHARACTERS;
}

/** Piscina's handler: one task per shard, which ends only with its thread. */
export default function runShard({ port, start }: { port: MessagePort; start: ShardStart }): Promise<never> {
  const store = new SegmentStore({
    shard: start.shard,
    ledger: new Ledger(start.ledger, start.ledgerUnitBytes),
    entryLedger: start.entryLedger && new Ledger(start.entryLedger, 1),
    seed: start.seed,
    now: Date.now,
  });
  const doorbell = new Doorbell(start.doorbell);
  const actor = new ShardActor({
    store,
    post: (message: string | ControlReply) => port.postMessage(message),
    gzipThresholdBytes: start.gzipThresholdBytes,
    replyWindow: start.replyWindow,
    deadlineMs: start.deadlineMs,
    nowMs,
    defer: setImmediate,
  });
  port.on('message', (first: string | ControlRequest) => {
    const endMs = nowMs() + TURN_MS;
    for (let message: string | ControlRequest | undefined = first; message !== undefined;) {
      actor.handle(message);
      const pollMs = isSmall(message) ? POLL_MS : 0;
      const rings = doorbell.rings(start.shard);
      message = receive(port);
      if (message === undefined && !actor.isBusy && nowMs() < endMs) {
        doorbell.wait(start.shard, rings, WAIT_MS, pollMs);
        message = receive(port);
      }
    }
  });
  setInterval(() => actor.maintain(), MAINTENANCE_INTERVAL_MS);
  port.postMessage({ kind: 'ready' } satisfies ControlReply);
  return new Promise(() => undefined);
}

function receive(port: MessagePort): string | ControlRequest | undefined {
  // Only the mailbox posts to this port.
  const received: { message: string | ControlRequest } | undefined = receiveMessageOnPort(port);
  return received?.message;
}
