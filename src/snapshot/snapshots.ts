import { rename } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type SnapshotFigures, noSnapshotFigures } from '../shared/stats-counters.ts';
import type { TagSeed } from './head.ts';
import { Load, type LoadResult, beginLoad, endLoad } from './load.ts';
import { type SaveResult, saveSnapshot } from './save.ts';
import { SnapshotReader } from './snapshot-reader.ts';
import type { SnapshotShards } from './snapshot-shards.ts';
import { discardUnfinished } from './snapshot-writer.ts';

/** How long the last snapshot may take: then the process ends, and the file before stays. */
export const MAX_LAST_SAVE_MS = 60_000;
/** How long requests in flight may take to end before the last snapshot is written beside them. */
const MAX_CLOSING_MS = 4000;

export interface SnapshotSaved extends SaveResult {
  readonly tookMs: number;
}

export interface SnapshotLoaded extends LoadResult {
  readonly tookMs: number;
}

export interface SnapshotsOptions {
  readonly path: string;
  /** 0 for none but the last. */
  readonly intervalMs: number;
  readonly router: SnapshotShards;
  readonly tagSeed: TagSeed;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  readonly onSaved: (saved: SnapshotSaved) => void;
  readonly onSaveFailed: (error: unknown) => void;
  readonly onLoaded: (loaded: SnapshotLoaded) => void;
  readonly onLoadFailed: (error: unknown) => void;
  /** The file was another program's, or of another version. */
  readonly onForeign: (path: string, keptAs: string) => void;
}

/** The snapshot file of a server: read when it starts, written now and then and when it stops. */
export class Snapshots {
  readonly figures: SnapshotFigures = noSnapshotFigures();

  private readonly options: SnapshotsOptions;
  private readonly stopping = new AbortController();
  private reader: SnapshotReader | undefined;
  /** What is under way: a file is not written before it has been read. */
  private work: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private isStarted = false;

  constructor(options: SnapshotsOptions) {
    this.options = options;
  }

  /** To be called when the shards are up, before the first request. */
  async prepare(): Promise<void> {
    const { path, router, onLoadFailed } = this.options;
    try {
      await discardUnfinished(path);
      this.reader = await SnapshotReader.open(path);
      await beginLoad(router);
    } catch (error) {
      if (!isMissing(error)) onLoadFailed(error);
    }
  }

  /** Begins to read the file, while requests are served. */
  start(): void {
    this.isStarted = true;
    const { reader } = this;
    if (reader) this.work = this.load(reader);
    this.waitForNext();
  }

  /**
   * Waits until requests in flight are answered, but not so long that there is no time left for the last snapshot.
   * @param closing resolves when they are.
   */
  async waitFor(closing: Promise<unknown>): Promise<void> {
    const given = new AbortController();
    await Promise.race([
      closing,
      delay(MAX_CLOSING_MS, undefined, { signal: given.signal }).catch(() => undefined),
    ]);
    given.abort();
  }

  /** Writes the last snapshot, unless the server has never listened. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    // One under way is from before the last requests.
    this.stopping.abort(new Error('the server stops'));
    const deadline = AbortSignal.timeout(MAX_LAST_SAVE_MS);
    const { promise: isOverdue, resolve } = Promise.withResolvers<void>();
    deadline.addEventListener('abort', () => resolve());
    await Promise.race([this.work, isOverdue]);
    if (this.isStarted && !deadline.aborted) await this.save(true, deadline);
    await this.closeReader();
  }

  private waitForNext(): void {
    const { intervalMs } = this.options;
    if (intervalMs === 0 || this.stopping.signal.aborted) return;
    this.timer = setTimeout(() => {
      this.work = this.work.then(() => this.save(false, this.stopping.signal));
      void this.work.then(() => this.waitForNext());
    }, intervalMs).unref();
  }

  private async save(isUrgent: boolean, signal: AbortSignal): Promise<void> {
    const { path, router, tagSeed, nowMs, onSaved, onSaveFailed } = this.options;
    const { figures } = this;
    const startedMs = nowMs();
    try {
      // What a shard that is being replaced held is in the file before.
      if (!isUrgent && !router.isReady) throw new Error('not every shard is up');
      const result = await saveSnapshot(path, router, { isUrgent, tagSeed, signal });
      const tookMs = nowMs() - startedMs;
      figures.snapshots++;
      figures.snapshotTimeSeconds = nowMs() / 1000;
      figures.snapshotEntries = result.entries;
      figures.snapshotBytes = result.bytes;
      figures.snapshotDurationSeconds = tookMs / 1000;
      onSaved({ ...result, tookMs });
    } catch (error) {
      if (signal === this.stopping.signal && signal.aborted) return;
      figures.snapshotFailures++;
      onSaveFailed(error);
    }
  }

  private async load(reader: SnapshotReader): Promise<void> {
    const { router, nowMs, onLoaded, onLoadFailed } = this.options;
    const startedMs = nowMs();
    try {
      const contents = await reader.contents();
      if (!contents.isSnapshot) {
        if (contents.bytes > 0) await this.setAside();
        return;
      }
      const result = await new Load(router, reader).run(contents);
      const tookMs = nowMs() - startedMs;
      this.countLoad(result, tookMs);
      onLoaded({ ...result, tookMs });
    } catch (error) {
      onLoadFailed(error);
    } finally {
      await endLoad(router);
      // The space of a file that has been replaced is free when nobody has it open.
      await this.closeReader();
    }
  }

  private async closeReader(): Promise<void> {
    const { reader } = this;
    this.reader = undefined;
    await reader?.close();
  }

  private countLoad({ superseded, expired, keptOut, damagedSections }: LoadResult, tookMs: number): void {
    const { figures } = this;
    figures.snapshotLoadSeconds = tookMs / 1000;
    figures.snapshotSupersededEntries = superseded;
    figures.snapshotExpiredEntries = expired;
    figures.snapshotKeptOutEntries = keptOut;
    figures.snapshotDamagedSections = damagedSections;
  }

  /** The next snapshot must not take the place of what is not ours. */
  private async setAside(): Promise<void> {
    const { path, onForeign } = this.options;
    const keptAs = `${path}.foreign`;
    await rename(path, keptAs);
    onForeign(path, keptAs);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
