/**
 * What crosses a port for values that are larger than a block. They come and go in pieces, as messages of their own: each
 * piece is a buffer that is handed over. The numbers of uploads are given by the HTTP thread, those of reads by the shard.
 *
 *     HTTP thread                                       shard
 *       upload  ──────────────────────────────────────►   is there room?
 *         ◄──────────────────────────────────── GO_ON
 *       piece   ──────────────────────────────────────►   charged to the ledger; evicts in slices
 *         ◄──────────────────────────────────── GO_ON     …and so on, one piece at a time
 *       commit  ──────────────────────────────────────►   conditions judged; the entry is stored
 *         ◄───────── CREATED, REPLACED, or why not
 *
 *       RAW_GET ──────────────────────────────────────►
 *         ◄──────────────────────── LARGE_HIT, its head   the value is pinned
 *       more    ──────────────────────────────────────►
 *         ◄──────────────────────────────────── a piece   …and so on, one piece at a time
 */
export type LargeValueMessage =
  | {
      readonly kind: 'upload';
      readonly upload: number;
      /** Of the whole value, 0 if nobody knows yet. */
      readonly bytes: number;
    }
  | {
      readonly kind: 'piece';
      readonly upload: number;
      readonly buffer: ArrayBuffer;
      /** Of the value, at the front of the buffer. */
      readonly bytes: number;
    }
  /** `options` as `encodePutOptions` made them. */
  | { readonly kind: 'commit'; readonly upload: number; readonly key: string; readonly options: string }
  | { readonly kind: 'abort'; readonly upload: number }
  | { readonly kind: 'more' | 'cancel'; readonly read: number };

/** The shard has taken what was sent, and wants more. Any other code ends the upload. */
export const GO_ON = 0x2b;

export type LargeValueReply =
  | { readonly kind: 'upload'; readonly upload: number; readonly code: number; readonly head: string }
  | {
      readonly kind: 'piece';
      readonly read: number;
      /** Absent where the read is cut off: its memory was needed. */
      readonly bytes: Uint8Array<ArrayBuffer> | undefined;
    };
