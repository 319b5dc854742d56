import { BroadcastChannel } from 'node:worker_threads';
import type { ShardStart } from '../../src/shared/shard-start.ts';
import { REFUSALS_TOLD_EVERY_MS, type TierNotice, type TierStart } from '../../src/shared/tier.ts';
import { Engine } from './engine.ts';
import { Tier, type TierParts } from './tier.ts';

const nowMs = (): number => performance.now();

/**
 * Connects a shard to the engine behind it.
 * @returns what makes the shard its near cache, once it is connected, or has failed to: then it goes on trying.
 */
export async function openTier(
  { shard, deadlineMs }: ShardStart,
  start: TierStart,
): Promise<(parts: TierParts) => Tier> {
  const channel = new BroadcastChannel(start.channel);
  channel.unref();
  let tier: Tier | undefined;
  let refusalToldAtMs = -Infinity;
  const notify = (notice: Omit<TierNotice, 'shard'>): void =>
    channel.postMessage({ ...notice, shard } satisfies TierNotice);
  const engine = new Engine({
    start,
    onInvalidate: (key) => tier?.invalidate(key),
    onEpoch: () => tier?.flush(),
    onChange: ({ address, isUp }, reason) => notify({ address, kind: isUp ? 'up' : 'gone', reason }),
    onRefusal: (address, reason) => {
      if (nowMs() - refusalToldAtMs < REFUSALS_TOLD_EVERY_MS) return;
      refusalToldAtMs = nowMs();
      notify({ address, kind: 'refusal', reason });
    },
    nowMs,
  });
  await engine.nodes.connect();
  const { whenUnavailable } = start;
  return (parts) => (tier = new Tier({ ...parts, shard, engine, whenUnavailable, deadlineMs, nowMs }));
}
