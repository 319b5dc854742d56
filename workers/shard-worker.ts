import type { MessagePort } from 'node:worker_threads';
import { Ledger } from '../src/base/ledger.ts';
import type { ControlReply, ControlRequest, ShardStart } from '../src/mailbox/protocol.ts';
import { ShardActor } from './shard-actor.ts';
import { SegmentStore } from './store/segment-store.ts';

const MAINTENANCE_INTERVAL_MS = 100;

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
    nowMs: () => performance.now(),
    defer: setImmediate,
  });
  port.on('message', (message: string | ControlRequest) => {
    if (typeof message === 'string') actor.handleBatch(message);
    else actor.handleControl(message);
  });
  setInterval(() => actor.maintain(), MAINTENANCE_INTERVAL_MS);
  post({ kind: 'ready' });
  return new Promise(() => undefined);
}
