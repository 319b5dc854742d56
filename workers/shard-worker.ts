import type { MessagePort } from 'node:worker_threads';
import { Ledger } from '../src/shared/ledger.ts';
import type { ShardStart } from '../src/shared/shard-start.ts';
import { seedTags } from './reads/entity-tag.ts';
import { ShardLoop } from './shard-loop.ts';
import { SegmentStore } from './store/segment-store.ts';

/** What the thread runs: one task per shard, which ends only with its thread. */
export default async function runShard({
  port,
  start,
}: {
  port: MessagePort;
  start: ShardStart;
}): Promise<never> {
  seedTags(start.tagSeed);
  const store = new SegmentStore({
    shard: start.shard,
    ledger: new Ledger(start.ledger, start.ledgerUnitBytes),
    entryLedger: start.entryLedger && new Ledger(start.entryLedger, 1),
    seed: start.seed,
    // The system's time of day may be set, and entries would expire early or late.
    now: () => performance.timeOrigin + performance.now(),
  });
  // Loaded only where there is an engine behind the shards.
  const createTier =
    start.tier && (await import('./tier/open-tier.ts').then(({ openTier }) => openTier(start, start.tier!)));
  new ShardLoop(store, start, createTier).start(port, start.checksIntegrity);
  return new Promise(() => undefined);
}
