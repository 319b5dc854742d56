import { HEADER_BYTES, type SectionHeader, readHeader } from '../../src/shared/snapshot-format.ts';
import { hashKey, hashKeyBytes, shardOfHash } from '../../src/shared/key-hash.ts';
import type { ControlReply } from '../../src/shared/protocol.ts';
import type { LoadedCounts, SavedSection, SnapshotRequest } from '../../src/shared/snapshots.ts';
import type { ControlChannel } from '../../src/shards/control-channel.ts';
import type { ShardNumberAt, SnapshotShards } from '../../src/snapshot/snapshot-shards.ts';
import type { Session } from '../../workers/session.ts';
import { Snapshots } from '../../workers/snapshot/snapshots.ts';
import { LoadJob } from '../../workers/snapshot/load-job.ts';
import { SaveJob } from '../../workers/snapshot/save-job.ts';
import { NO_SLOT, type SegmentStore } from '../../workers/store/segment-store.ts';
import { chainText } from './segments.ts';

/** Writes a whole snapshot. @param between is called between slices, each of which is a few steps. */
export function saveAll(store: SegmentStore, between: () => void = () => undefined): SavedSection[] {
  const job = new SaveJob(store, 0);
  const sections: SavedSection[] = [];
  let ticks = 0;
  for (;;) {
    const isReady = job.work(1, () => ticks++);
    if (isReady) {
      const section = job.take();
      if (!section) break;
      sections.push(section);
    }
    between();
  }
  job.end();
  return sections;
}

export function headerOf(section: SavedSection): SectionHeader {
  return readHeader(section.bytes)!;
}

/** The sections in the order in which they are read: the hottest first. */
export function inReadingOrder(sections: readonly SavedSection[]): SavedSection[] {
  return sections.toSorted((a, b) => headerOf(b).pass - headerOf(a).pass);
}

/** Reads sections into a store. @param between is called between slices, each of which is a few entries. */
export function loadAll(
  store: SegmentStore,
  sections: readonly SavedSection[],
  between: () => void = () => undefined,
): LoadedCounts {
  const counts = { loaded: 0, superseded: 0, expired: 0, keptOut: 0 };
  let ticks = 0;
  for (const section of sections) {
    const body = section.bytes.slice(HEADER_BYTES).buffer;
    const job = new LoadJob(store, headerOf(section).kind, body, body.byteLength);
    while (!job.work(1, () => ticks++)) between();
    for (const name of Object.keys(counts) as (keyof LoadedCounts)[]) counts[name] += job.counts[name];
  }
  return counts;
}

/** The value of a key, without making it recently used. */
export function peekValue(store: SegmentStore, key: string): string | undefined {
  const slot = store.peek(key);
  if (slot === NO_SLOT) return undefined;
  const chain = store.chainOf(slot);
  return chain ? chainText(chain) : store.value(slot);
}

/** All keys, the least recently used first. The store is empty afterwards. */
export function drainKeys(store: SegmentStore, keys: Iterable<string>): string[] {
  const left = new Set(keys);
  const gone: string[] = [];
  while (store.entries > 0) {
    store.evict(1, 'evicted');
    for (const key of left) {
      if (store.peek(key) !== NO_SLOT) continue;
      left.delete(key);
      gone.push(key);
    }
  }
  return gone;
}

/** Shards without threads, as snapshots see them. What is asked is done at once. */
export function shardsOf(
  stores: readonly SegmentStore[],
): SnapshotShards & { readonly shardNumberOf: (key: string) => number } {
  const shards = stores.map((store) => ({ mailbox: { control: { request: answering(store) } } }));
  const shardNumberOf = (key: string): number => shardOfHash(hashKey(key, 11, 12), stores.length);
  const shardNumberAt: ShardNumberAt = (bytes, start, length) =>
    shardOfHash(hashKeyBytes(bytes, start, length, 11, 12), stores.length);
  return { isReady: true, shards, shardNumberOf, shardNumberAt };
}

function answering(store: SegmentStore): ControlChannel['request'] {
  const replies: ControlReply[] = [];
  const session = { post: (reply: ControlReply) => replies.push(reply) } as unknown as Session;
  const snapshots = new Snapshots({
    store,
    shard: 0,
    nowMs: () => performance.now(),
    deferSlice: (slice) => slice(),
  });
  return (order) => {
    snapshots.handle(session, { ...order, id: 0 } as SnapshotRequest);
    return Promise.resolve(replies.pop());
  };
}
