import { assert } from '../src/shared/assert.ts';
import { free } from '../src/shared/free.ts';
import { GO_ON, type LargeValueMessage } from '../src/shared/large-values.ts';
import { BUSY, TOO_LARGE } from '../src/shared/protocol.ts';
import { chainChargeBytes } from '../src/shared/segment-sizes.ts';
import type { RawWrites } from './raw-writes.ts';
import { TagBuilder } from './reads/entity-tag.ts';
import type { Session } from './session.ts';
import type { Chain, Piece, SegmentStore } from './store/segment-store.ts';

/** How long a slice works. Requests wait for its end. */
const SLICE_MS = 0.5;
/** Hashed at once: a twelfth of a millisecond. */
const HASH_STEP_BYTES = 2 ** 17;
/** Uploads that one HTTP thread may have under way. */
const MAX_UPLOADS = 64;

export interface UploadOptions {
  readonly store: SegmentStore;
  readonly writes: RawWrites;
  readonly nowMs: () => number;
  /** Calls back after the messages that have arrived by then. */
  readonly defer: (task: () => void) => void;
}

interface Upload {
  readonly session: Session;
  readonly id: number;
  readonly chain: Chain;
  /** Of the whole value; 0 if nobody knows yet. */
  readonly bytes: number;
  readonly tag: TagBuilder;
  /** The piece that is being taken. */
  piece: Piece | undefined;
  hasRoom: boolean;
  hashedBytes: number;
}

/**
 * Large values that are coming. A piece may displace other entries. They are evicted, and the piece is hashed, in slices.
 * Between two slices the shard serves its requests. A value is refused when there is no entry left that it could displace.
 * It is also refused when requests needed its memory and found nothing else to evict.
 */
export class Uploads {
  private readonly options: UploadOptions;
  private readonly uploads = new Map<Session, Map<number, Upload>>();
  /** Uploads with a piece that is being taken, first come, first served. */
  private queue: Upload[] = [];
  private isTurnAsked = false;

  constructor(options: UploadOptions) {
    this.options = options;
  }

  /** True while there are slices to come, which need turns of the event loop. */
  get isBusy(): boolean {
    return this.queue.length > 0;
  }

  begin(session: Session, id: number, bytes: number): void {
    const own = this.uploads.get(session) ?? new Map<number, Upload>();
    const { largeValues } = this.options.store;
    const room = largeValues.roomFor(bytes, this.promisedBytes());
    if (room !== 'enough' || own.size >= MAX_UPLOADS) {
      reply(session, id, room === 'never' ? TOO_LARGE : BUSY);
      return;
    }
    this.uploads.set(session, own);
    const state = { chain: largeValues.begin(), tag: new TagBuilder() };
    own.set(id, { session, id, bytes, ...state, piece: undefined, hasRoom: false, hashedBytes: 0 });
    reply(session, id, GO_ON);
  }

  /** A piece has come. */
  take(
    session: Session,
    { upload: id, buffer, bytes }: LargeValueMessage & { readonly kind: 'piece' },
  ): void {
    const upload = this.find(session, id);
    if (!upload) {
      // It has been refused, and that has crossed with this piece.
      free(buffer);
      return;
    }
    assert(!upload.piece, 'a piece is sent when the one before has been taken');
    const { largeValues } = this.options.store;
    if (largeValues.roomFor(upload.chain.bytes + bytes, 0) === 'never') {
      free(buffer);
      this.refuse(upload, TOO_LARGE);
      return;
    }
    upload.piece = { buffer, bytes };
    upload.hasRoom = false;
    upload.hashedBytes = 0;
    this.queue.push(upload);
    if (!this.isTurnAsked) this.work();
  }

  /** The whole value has come: it is stored, if the conditions among its options are met. */
  commit(session: Session, id: number, key: string, options: string): void {
    const upload = this.find(session, id);
    if (!upload) return;
    assert(!upload.piece, 'a value is complete when its last piece has been taken');
    this.forgetUpload(upload);
    const { code, head } = this.options.writes.putLarge(key, upload.chain, upload.tag, options);
    session.post({ kind: 'upload', upload: id, code, head });
  }

  /** Gives up a value, and all its memory. */
  abort(session: Session, id: number): void {
    const upload = this.find(session, id);
    if (upload) this.drop(upload);
  }

  /** A session has ended: so have its uploads. */
  forget(session: Session): void {
    for (const upload of this.uploads.get(session)?.values() ?? []) this.drop(upload);
  }

  private find(session: Session, id: number): Upload | undefined {
    return this.uploads.get(session)?.get(id);
  }

  private work(): void {
    const { nowMs, defer } = this.options;
    const stopMs = nowMs() + SLICE_MS;
    do this.step(this.queue[0]);
    while (this.queue.length > 0 && nowMs() < stopMs);
    this.isTurnAsked = this.queue.length > 0;
    if (this.isTurnAsked) defer(() => this.continueWork());
  }

  private continueWork(): void {
    // Those that waited may have been given up.
    if (this.queue.length > 0) this.work();
    else this.isTurnAsked = false;
  }

  /** Does a little of what a piece needs. */
  private step(upload: Upload): void {
    const { chain, tag } = upload;
    const piece = upload.piece!;
    if (chain.state === 'dropped') {
      this.refuse(upload, BUSY);
      return;
    }
    if (!upload.hasRoom) {
      this.makeRoom(upload, piece);
      return;
    }
    const stepBytes = Math.min(HASH_STEP_BYTES, piece.bytes - upload.hashedBytes);
    tag.add(new Uint8Array(piece.buffer, upload.hashedBytes, stepBytes));
    upload.hashedBytes += stepBytes;
    if (upload.hashedBytes < piece.bytes) return;
    upload.piece = undefined;
    this.queue.shift();
    reply(upload.session, upload.id, GO_ON);
  }

  private makeRoom(upload: Upload, piece: Piece): void {
    const { largeValues } = this.options.store;
    const room = largeValues.makeRoom(piece);
    if (room === 'none') {
      this.refuse(upload, BUSY);
    } else if (room === 'reserved') {
      largeValues.add(upload.chain, piece);
      upload.hasRoom = true;
    }
  }

  /** What the values under way will still be charged, as far as their lengths are known. */
  private promisedBytes(): number {
    let promised = 0;
    for (const own of this.uploads.values()) {
      for (const { bytes, chain } of own.values()) {
        promised += Math.max(0, chainChargeBytes(bytes) - chain.chargeBytes);
      }
    }
    return promised;
  }

  private refuse(upload: Upload, code: number): void {
    this.drop(upload);
    reply(upload.session, upload.id, code);
  }

  private drop(upload: Upload): void {
    this.forgetUpload(upload);
    const { piece, hasRoom, chain } = upload;
    if (piece && !hasRoom) free(piece.buffer);
    this.options.store.largeValues.drop(chain);
  }

  private forgetUpload(upload: Upload): void {
    const { session, id } = upload;
    const own = this.uploads.get(session);
    own?.delete(id);
    if (own?.size === 0) this.uploads.delete(session);
    if (upload.piece) this.queue = this.queue.filter((other) => other !== upload);
  }
}

function reply(session: Session, upload: number, code: number): void {
  session.post({ kind: 'upload', upload, code, head: '' });
}
