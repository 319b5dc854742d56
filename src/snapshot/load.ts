import { HEADER_BYTES, LARGE_RECORD, PIECE, alignedBytes } from '../shared/snapshot-format.ts';
import type { LoadedCounts, SnapshotRequest } from '../shared/snapshots.ts';
import type { Contents, Section, SnapshotReader } from './snapshot-reader.ts';
import type { ShardNumberAt, SnapshotShards } from './snapshot-shards.ts';
import { ownerOf, splitRecords } from './split.ts';

type LoadOrder = Omit<SnapshotRequest & { readonly kind: 'load' }, 'kind' | 'id'>;

/** What has come of a snapshot file. */
export interface LoadResult extends LoadedCounts {
  readonly bytes: number;
  readonly damagedSections: number;
  /** Of the sections whose headers are whole. */
  readonly damagedEntries: number;
  /** Bytes in which no section was found where one must be. */
  readonly lostBytes: number;
  readonly isComplete: boolean;
}

/** Tells all shards that a snapshot is to come. To be called before the first request. */
export async function beginLoad({ shards }: SnapshotShards): Promise<void> {
  await Promise.all(shards.map(async ({ mailbox }) => mailbox?.control.request({ kind: 'load-begin' })));
}

export async function endLoad({ shards }: SnapshotShards): Promise<void> {
  await Promise.all(shards.map(async ({ mailbox }) => mailbox?.control.request({ kind: 'load-end' })));
}

/** Reads a snapshot into the shards, one section after the other: while shards take one, the next one is read. */
export class Load {
  private readonly router: SnapshotShards;
  private readonly reader: SnapshotReader;
  private readonly counts: Record<keyof LoadedCounts, number> = {
    loaded: 0,
    superseded: 0,
    expired: 0,
    keptOut: 0,
  };
  private readonly isOpen: boolean[];
  /** Entries of the sections that are still to be read. */
  private leftEntries = 0;
  private damagedSections = 0;
  private damagedEntries = 0;
  private inFlight: Promise<unknown> = Promise.resolve();
  /** The shard to which the pieces of a large value go, and where the next one must begin. */
  private largeOwner: number | undefined;
  private nextOffset = 0;

  constructor(router: SnapshotShards, reader: SnapshotReader) {
    this.router = router;
    this.reader = reader;
    this.isOpen = router.shards.map(() => true);
  }

  async run({ sections, bytes, lostBytes, isComplete }: Contents): Promise<LoadResult> {
    this.leftEntries = sections.reduce((sum, { entries }) => sum + entries, 0);
    for (const section of sections) {
      if (this.isOpen.includes(true)) await this.take(section);
      else this.counts.keptOut += section.entries;
    }
    await this.inFlight;
    const { damagedSections, damagedEntries } = this;
    return { ...this.counts, bytes, damagedSections, damagedEntries, lostBytes, isComplete };
  }

  private async take(section: Section): Promise<void> {
    const isNext = section.offset === this.nextOffset;
    this.nextOffset = section.offset + alignedBytes(HEADER_BYTES + section.bodyBytes);
    // Without what stood before it, a piece could become part of another value.
    if (section.kind !== PIECE || !isNext) this.largeOwner = undefined;
    const expected = Math.ceil(this.leftEntries / this.isOpen.length);
    this.leftEntries -= section.entries;
    const body = await this.reader.body(section);
    if (!body) {
      this.damagedSections++;
      this.damagedEntries += section.entries;
      this.largeOwner = undefined;
      return;
    }
    const parts = await this.partsOf(section, body);
    await this.inFlight;
    this.inFlight = Promise.all(
      parts.map(
        async (part, shard) =>
          part && (await this.send(shard, { section: section.kind, body: part, expected })),
      ),
    );
  }

  /** What each shard is to take of a section. */
  private async partsOf(
    { kind }: Section,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<(ArrayBuffer | undefined)[]> {
    const { router } = this;
    const { length } = router.shards;
    const shardNumberAt: ShardNumberAt = (bytes, start, keyBytes) =>
      router.shardNumberAt(bytes, start, keyBytes);
    if (kind === LARGE_RECORD) this.largeOwner = ownerOf(body, shardNumberAt);
    else if (kind !== PIECE) return splitRecords(body, length, shardNumberAt);
    const owner = this.largeOwner;
    return Array.from({ length }, (_, shard) => (shard === owner ? body.buffer : undefined));
  }

  private async send(shard: number, order: LoadOrder): Promise<void> {
    const { mailbox } = this.router.shards[shard];
    const reply = await mailbox?.control.request({ kind: 'load', ...order }, [order.body]);
    if (reply?.kind !== 'load') {
      // The shard has died. The next one begins empty.
      this.isOpen[shard] = false;
      return;
    }
    this.isOpen[shard] = reply.isOpen;
    for (const name of Object.keys(this.counts) as (keyof LoadedCounts)[]) {
      this.counts[name] += reply.counts[name];
    }
  }
}
