import type { ShardStats } from '../src/shared/stats-counters.ts';
import type { SegmentStore } from './store/segment-store.ts';

/** What a shard has counted. */
export function statsOf(store: SegmentStore, shedOrders: number): ShardStats {
  const { hits, misses, puts, deleted, cleared, evicted, expired, shed } = store.counters;
  return {
    entries: store.entries,
    liveBytes: store.liveBytes,
    reservedBytes: store.reservedBytes,
    hits,
    misses,
    puts,
    deletes: deleted,
    cleared,
    evicted,
    evictedUnread: store.evictedUnread,
    oldestAgeSeconds: Math.floor(store.oldestAgeMs / 1000),
    expired,
    shedOrders,
    shedEntries: shed,
    shedBytes: store.shedBytes,
    loaded: store.restorer.loaded,
  };
}
