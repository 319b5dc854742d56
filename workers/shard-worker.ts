import type { MessagePort } from 'node:worker_threads';
import { Attention, BriefPoll } from '../src/mailbox/brief-poll.ts';
import { Ledger } from '../src/base/ledger.ts';
import type { ControlReply, ControlRequest, ShardStart } from '../src/mailbox/protocol.ts';
import { ShardActor } from './shard-actor.ts';
import { SegmentStore } from './store/segment-store.ts';

const MAINTENANCE_INTERVAL_MS = 100;
const POLL_BUDGET_MS = 0.4;
const MOST_POLLING_MS = 2;
/** A longer batch is one of many requests: then sleeping between batches costs each of them little. */
const SMALL_BATCH_CHARACTERS = 512;

const nowMs = (): number => performance.now();

function isSmall(message: unknown): boolean {
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
  const post = (message: string | ControlReply): void => port.postMessage(message);
  const actor = new ShardActor({
    store,
    post,
    gzipThresholdBytes: start.gzipThresholdBytes,
    replyWindow: start.replyWindow,
    deadlineMs: start.deadlineMs,
    nowMs,
    defer: setImmediate,
  });
  const handle = (message: string | ControlRequest): void => {
    if (typeof message === 'string') actor.handleBatch(message);
    else actor.handleControl(message);
  };
  const attention = new Attention(start.attention);
  const poll = new BriefPoll(port, {
    budgetMs: POLL_BUDGET_MS,
    nowMs,
    isWanted: () => attention.isOn(start.shard) && !actor.isShedding,
  });
  port.on('message', (message: string | ControlRequest) => {
    handle(message);
    // Timers and callbacks of this thread want their turn as well.
    const stopMs = nowMs() + MOST_POLLING_MS;
    let latest: unknown = message;
    while (start.polls && isSmall(latest) && nowMs() < stopMs) {
      latest = poll.receive();
      // Only the mailbox posts to this port.
      if (latest !== undefined) handle(latest as string | ControlRequest);
    }
  });
  setInterval(() => actor.maintain(), MAINTENANCE_INTERVAL_MS);
  post({ kind: 'ready' });
  return new Promise(() => undefined);
}
