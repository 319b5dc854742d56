import { randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';
import type { Settings } from '../config/settings.ts';
import { parseTierUrl } from '../config/tier-url.ts';
import { TIER_COUNTERS, type TierCounterName } from '../shared/stats-counters.ts';
import {
  REFUSALS_TOLD_EVERY_MS,
  type TierChange,
  type TierCounts,
  type TierFigures,
  type TierNotice,
  type TierStart,
} from '../shared/tier.ts';

/** What a router needs to know of the engine behind its shards. */
export interface RouterTier {
  /** Many keys may have to be removed there: `DELETE /cache` waits for this many deadlines more. */
  readonly clearWaits: number;
  /** Called when the shards have been stopped. */
  readonly onStop?: () => void;
}

/** What the shards need to know of the engine behind them; undefined where there is none. */
export function tierStartOf({ TIER_URL, TIER_UNAVAILABLE }: Settings): TierStart | undefined {
  const url = parseTierUrl(TIER_URL);
  if (!url) return undefined;
  return { ...url, whenUnavailable: TIER_UNAVAILABLE, channel: `tier-${randomUUID()}` };
}

export type OnTierChange = (address: string, change: TierChange, reason: string) => void;

/**
 * Tells when a node of the engine is gone for the first shard, when it is back for all of them, and now and then that it
 * refuses requests.
 */
export class TierWatch {
  private readonly channel: BroadcastChannel;
  private readonly onChange: OnTierChange;
  private readonly nowMs: () => number;
  /** The shards for which each node is gone. */
  private readonly gone = new Map<string, Set<number>>();
  private refusalToldAtMs = -Infinity;

  constructor(channel: string, onChange: OnTierChange, nowMs: () => number) {
    this.onChange = onChange;
    this.nowMs = nowMs;
    this.channel = new BroadcastChannel(channel);
    this.channel.unref();
    this.channel.addEventListener('message', ({ data }: { readonly data: unknown }) =>
      this.take(data as TierNotice),
    );
  }

  take({ address, kind, shard, reason }: TierNotice): void {
    if (kind === 'refusal') {
      if (this.nowMs() - this.refusalToldAtMs < REFUSALS_TOLD_EVERY_MS) return;
      this.refusalToldAtMs = this.nowMs();
      this.onChange(address, kind, reason);
      return;
    }
    const isFirst = !this.gone.has(address);
    const shards = this.gone.get(address) ?? new Set();
    this.gone.set(address, shards);
    const wasUp = shards.size === 0;
    if (kind === 'up') shards.delete(shard);
    else shards.add(shard);
    const isUp = shards.size === 0;
    if (isFirst && !isUp) this.onChange(address, 'unusable', reason);
    else if (isFirst || wasUp !== isUp) this.onChange(address, kind, reason);
  }

  close(): void {
    this.channel.close();
  }
}

/** What `/stats` says of the engine: the sums over all shards, and each node, up where it is so for every shard. */
export function tierReport(figures: readonly (TierFigures & { readonly nearHits: number })[]) {
  const sum = (name: TierCounterName | 'nearHits'): number =>
    figures.reduce((total, one) => total + one[name], 0);
  const counts = Object.fromEntries(TIER_COUNTERS.map(({ name }) => [name, sum(name)])) as TierCounts;
  const addresses = new Set(figures.flatMap(({ nodes }) => nodes.map(({ address }) => address)));
  return {
    nearHits: sum('nearHits'),
    ...counts,
    nodes: [...addresses].map((address) => ({
      address,
      isUp: figures.every(({ nodes }) => nodes.some((node) => node.address === address && node.isUp)),
    })),
  };
}
