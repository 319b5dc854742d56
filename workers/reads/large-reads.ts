import { bytesOf } from '../../src/shared/protocol.ts';
import type { Session } from '../session.ts';
import type { Chain, SegmentStore } from '../store/segment-store.ts';
import type { FlowControlWindow } from './flow-control-window.ts';

/** Sent at once: the copy takes some hundredths of a millisecond. */
const MAX_PIECE_BYTES = 2 ** 18;
/** Reads that one HTTP thread may have under way. */
const MAX_READS = 1024;

interface LargeRead {
  readonly session: Session;
  readonly id: number;
  readonly key: string;
  readonly chain: Chain;
  /** What is sent next: the place in the chain, and in its piece there. */
  place: number;
  at: number;
  isWaiting: boolean;
}

/**
 * Large values that are being read. Each piece is sent when its reader has asked for it and the flow-control window has
 * room, so a slow reader keeps one copied piece in memory. The value itself is pinned: it may be replaced meanwhile, and
 * the reader has all of the old one. It is cut off if nothing but such values is left, and memory is needed.
 */
export class LargeReads {
  private readonly store: SegmentStore;
  private readonly window: FlowControlWindow;
  private readonly reads = new Map<Session, Map<number, LargeRead>>();
  /** Reads that have asked for a piece, first come, first served. */
  private waiting: LargeRead[] = [];

  constructor(store: SegmentStore, window: FlowControlWindow) {
    this.store = store;
    this.window = window;
  }

  /** True while readers wait for room in the window. */
  get isWaiting(): boolean {
    return this.waiting.length > 0;
  }

  /** @returns the number of the read; undefined when there are too many. */
  open(session: Session, key: string, chain: Chain): number | undefined {
    const own = this.reads.get(session) ?? new Map<number, LargeRead>();
    if (own.size >= MAX_READS) return undefined;
    const id = session.nextTicket();
    if (chain.bytes === 0) return id;
    this.reads.set(session, own);
    this.store.largeValues.pin(chain);
    own.set(id, { session, id, key, chain, place: 0, at: 0, isWaiting: false });
    return id;
  }

  /** A reader has taken all that it was sent, and wants more. */
  more(session: Session, id: number): void {
    const read = this.reads.get(session)?.get(id);
    if (!read || read.isWaiting) return;
    read.isWaiting = true;
    this.waiting.push(read);
    this.sendWaiting();
  }

  /** Sends pieces to those that wait, as far as there is room. @param most pieces. */
  sendWaiting(most = Infinity): void {
    for (let sent = 0; sent < most && this.waiting.length > 0 && this.window.hasRoom; sent++) {
      this.send(this.waiting.shift()!);
    }
  }

  /** A reader wants nothing more. */
  cancel(session: Session, id: number): void {
    const read = this.reads.get(session)?.get(id);
    if (read) this.close(read);
  }

  /** A session has ended: so have its reads. */
  forget(session: Session): void {
    for (const read of this.reads.get(session)?.values() ?? []) this.close(read);
  }

  private send(read: LargeRead): void {
    const { session, id, key, chain } = read;
    read.isWaiting = false;
    if (chain.state === 'dropped') {
      this.close(read);
      session.post({ kind: 'piece', read: id, bytes: undefined });
      return;
    }
    const { buffer, bytes: pieceBytes } = chain.pieces[read.place];
    const bytes = bytesOf(new Uint8Array(buffer, read.at, Math.min(MAX_PIECE_BYTES, pieceBytes - read.at)));
    read.at += bytes.length;
    if (read.at === pieceBytes) {
      read.place++;
      read.at = 0;
    }
    this.store.largeValues.touch(key, chain);
    if (read.place === chain.pieces.length) this.close(read);
    this.window.count(session, bytes.length);
    session.post({ kind: 'piece', read: id, bytes }, [bytes.buffer]);
  }

  private close(read: LargeRead): void {
    const own = this.reads.get(read.session);
    own?.delete(read.id);
    if (own?.size === 0) this.reads.delete(read.session);
    if (read.isWaiting) this.waiting = this.waiting.filter((other) => other !== read);
    this.store.largeValues.unpin(read.chain);
  }
}
