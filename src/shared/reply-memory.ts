import { PLACED, type Payload, encodeU16, encodeU32 } from './protocol.ts';

/** What replies take of the memory is counted in these. */
const UNIT_BYTES = 2 ** 13;
const CELL_BYTES = Int32Array.BYTES_PER_ELEMENT;
/** More would be of use only while very many clients read long values at once. */
const MAX_BYTES = 2 ** 23;
/** The part of a shard's reply window that the memory of one session may have. */
const WINDOW_SHARE = 1 / 8;

/** A payload, or one that lies in the memory of a session. */
export type ReplyPayload = Payload | Buffer<SharedArrayBuffer>;

/** How much memory each session of a shard has for replies. */
export function replyMemoryBytes(replyWindowBytes: number): number {
  return Math.min(MAX_BYTES, Math.floor(replyWindowBytes * WINDOW_SHARE));
}

/**
 * Memory that the two threads of a session share, for long replies: see ADR 71. The shard copies a reply to a place in it, and
 * names the place among its other replies. The HTTP thread writes from there to the client, and gives the place back. Places
 * at the front are taken first: so no more of the memory becomes resident than replies have needed at once.
 *
 *     cells   one for each unit: in how many units the reply lies that begins there, 0 where none begins
 *     units   the bytes of the replies
 *
 * The shard alone takes places, and the HTTP thread alone gives them back.
 */
export class ReplyMemory {
  readonly buffer: SharedArrayBuffer;
  private readonly cells: Int32Array;

  /** @param memory of another thread's, to join it; or how many bytes it has. */
  constructor(memory: SharedArrayBuffer | number) {
    this.buffer = typeof memory === 'number' ? new SharedArrayBuffer(memory) : memory;
    const units = Math.floor(this.buffer.byteLength / (UNIT_BYTES + CELL_BYTES));
    this.cells = new Int32Array(this.buffer, 0, units);
  }

  /** Takes a place for a reply. @returns -1 where there is no room for it. */
  take(bytes: number): number {
    const { cells } = this;
    const wanted = Math.ceil(bytes / UNIT_BYTES);
    let start = 0;
    let at = 0;
    while (at < cells.length) {
      const taken = Atomics.load(cells, at);
      at += taken || 1;
      if (taken > 0) {
        start = at;
      } else if (at - start === wanted) {
        Atomics.store(cells, start, wanted);
        return start;
      }
    }
    return -1;
  }

  /** The bytes of a reply. */
  view(place: number, bytes: number): Buffer<SharedArrayBuffer> {
    return Buffer.from(this.buffer, this.cells.byteLength + place * UNIT_BYTES, bytes);
  }

  /** Nobody reads or writes there any more. */
  giveBack(place: number): void {
    Atomics.store(this.cells, place, 0);
  }
}

/** The reply whose body lies at a place. @param head empty where it has none. */
export function encodePlaced(code: number, place: number, bytes: number, head: string): string {
  return (
    String.fromCharCode(PLACED, code) + encodeU32(place) + encodeU32(bytes) + encodeU16(head.length) + head
  );
}
