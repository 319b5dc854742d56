import { free } from '../shared/free.ts';
import {
  HEADER_BYTES,
  LARGE_RECORD,
  PIECE,
  RECORDS,
  SECTION_BYTES,
  alignedBytes,
} from '../shared/snapshot-format.ts';
import type { LoadedCounts, SnapshotRequest } from '../shared/snapshots.ts';
import type { Contents, Section, SnapshotReader } from './snapshot-reader.ts';
import type { ShardNumberAt, SnapshotShards } from './snapshot-shards.ts';
import { ownerOf, splitRecords } from './split.ts';

/** One is being read into while shards take another. */
const MAX_SPARES = 2;

interface LoadOrder extends Pick<SnapshotRequest & { readonly kind: 'load' }, 'section' | 'expected'> {
  readonly part: Uint8Array<ArrayBuffer>;
}

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
  /**
   * Buffers that sections were in. A new one for each section would cost the system its pages, and V8 a collection now and
   * then, since it counts the bytes outside its heap.
   */
  private readonly spares: ArrayBuffer[] = [];

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
    for (const spare of this.spares) free(spare);
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
    const body = await this.reader.body(section, (bytes) => this.bufferFor(section.kind, bytes));
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
        async (part, shard) => part && (await this.send(shard, { section: section.kind, part, expected })),
      ),
    );
  }

  /** What each shard is to take of a section. */
  private async partsOf(
    { kind }: Section,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<(Uint8Array<ArrayBuffer> | undefined)[]> {
    const { router } = this;
    const { length } = router.shards;
    const shardNumberAt: ShardNumberAt = (bytes, start, keyBytes) =>
      router.shardNumberAt(bytes, start, keyBytes);
    if (kind === LARGE_RECORD) this.largeOwner = ownerOf(body, shardNumberAt);
    else if (kind !== PIECE) {
      const parts = await splitRecords(body, length, shardNumberAt);
      if (length > 1) this.keep(body.buffer);
      return parts;
    }
    const owner = this.largeOwner;
    return Array.from({ length }, (_, shard) => (shard === owner ? body : undefined));
  }

  /** A large value keeps the buffers in which it came. So they are as large as it is. */
  private bufferFor(kind: number, bytes: number): ArrayBuffer {
    if (kind !== RECORDS || bytes > SECTION_BYTES) return new ArrayBuffer(bytes);
    return this.spares.pop() ?? new ArrayBuffer(SECTION_BYTES);
  }

  private keep(buffer: ArrayBuffer): void {
    if (buffer.byteLength === SECTION_BYTES && this.spares.length < MAX_SPARES) this.spares.push(buffer);
    else free(buffer);
  }

  private async send(shard: number, { section, part, expected }: LoadOrder): Promise<void> {
    const { mailbox } = this.router.shards[shard];
    const body = part.buffer;
    const order = { kind: 'load', section, body, bodyBytes: part.length, expected } as const;
    const reply = await mailbox?.control.request(order, [body]);
    if (reply?.kind !== 'load') {
      // The shard has died. The next one begins empty.
      this.isOpen[shard] = false;
      return;
    }
    this.isOpen[shard] = reply.isOpen;
    if (reply.body) this.keep(reply.body);
    for (const name of Object.keys(this.counts) as (keyof LoadedCounts)[]) {
      this.counts[name] += reply.counts[name];
    }
  }
}
