import type { SnapshotRequest } from '../../src/shared/snapshots.ts';
import type { Session } from '../session.ts';
import type { SegmentStore } from '../store/segment-store.ts';
import { LoadJob } from './load-job.ts';
import { SaveJob } from './save-job.ts';

/** How long a slice works. Requests wait for its end. */
const SLICE_MS = 0.25;

export interface SnapshotsOptions {
  readonly store: SegmentStore;
  readonly shard: number;
  readonly nowMs: () => number;
  /** Calls back when it is time for the next slice, after messages have been handled. */
  readonly deferSlice: (slice: () => void, ageMs: number) => void;
}

/** Writes snapshots of a shard, and reads them, in slices between which requests are served. */
export class Snapshots {
  private readonly options: SnapshotsOptions;
  private saving: SaveJob | undefined;
  /** Does a slice of what is asked for, while something is. @returns whether it is done. */
  private slice: (() => boolean) | undefined;
  private isPaused = false;

  constructor(options: SnapshotsOptions) {
    this.options = options;
  }

  /** True while slices are to come. */
  get isBusy(): boolean {
    return this.slice !== undefined;
  }

  handle(session: Session, request: SnapshotRequest): void {
    const { store } = this.options;
    switch (request.kind) {
      case 'save':
        this.save(session, request);
        break;
      case 'load':
        this.load(session, request);
        break;
      case 'save-end':
        this.endSaving();
        session.post({ kind: request.kind, id: request.id });
        break;
      case 'load-begin':
        store.restorer.begin();
        session.post({ kind: request.kind, id: request.id });
        break;
      case 'load-end':
        store.restorer.end();
        session.post({ kind: request.kind, id: request.id });
        break;
    }
  }

  /** A shed order has its slices now: those of a snapshot wait until it is done. */
  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.work();
  }

  private save(
    session: Session,
    { id, isFirst, isUrgent }: SnapshotRequest & { readonly kind: 'save' },
  ): void {
    const { store, shard, nowMs } = this.options;
    if (isFirst) {
      this.endSaving();
      this.saving = new SaveJob(store, shard);
    }
    const job = this.saving;
    this.slice = () => {
      if (job && !job.work(isUrgent ? Infinity : SLICE_MS, nowMs)) return false;
      const section = job?.take();
      if (!section) this.endSaving();
      session.post({ kind: 'save', id, section }, section && [section.bytes.buffer]);
      return true;
    };
    this.work();
  }

  private load(
    session: Session,
    { id, section, body, bodyBytes, expected }: SnapshotRequest & { readonly kind: 'load' },
  ): void {
    const { store, nowMs } = this.options;
    store.restorer.expect(expected);
    const job = new LoadJob(store, section, body, bodyBytes);
    this.slice = () => {
      if (!job.work(SLICE_MS, nowMs)) return false;
      const { counts, spare } = job;
      const reply = { kind: 'load', id, counts, isOpen: store.restorer.isOpen, body: spare } as const;
      session.post(reply, spare && [spare]);
      return true;
    };
    this.work();
  }

  private work(): void {
    const { slice } = this;
    if (!slice || this.isPaused) return;
    // Set anew by the next request, which cannot come before this one is answered.
    if (slice()) this.slice = undefined;
    else this.options.deferSlice(() => this.work(), 0);
  }

  private endSaving(): void {
    this.saving?.end();
    this.saving = undefined;
    this.slice = undefined;
  }
}
