/**
 * What crosses a port to write a snapshot, and to read one. Each is a control request, so it carries a number, and its reply
 * carries the same one. Sections are as `snapshot-format.ts` says, in buffers that are handed over.
 *
 *     main thread                                        shard
 *       save, isFirst  ────────────────────────────────►   walks its entries, hot to cold, in slices
 *         ◄────────────────────────────── a whole section   …and so on, until `isLast`
 *
 *       load-begin     ────────────────────────────────►   before the first request: what goes from now on must not
 *       load           ────────────────────────────────►   come back from the file
 *         ◄───────────────────────────── what it has kept   …and so on
 *       load-end       ────────────────────────────────►   forgets what has gone
 */
export type SnapshotRequest =
  | {
      readonly kind: 'save';
      readonly id: number;
      /** A new snapshot; one that is under way is given up. */
      readonly isFirst: boolean;
      /** Nobody waits for answers: without rests. */
      readonly isUrgent: boolean;
    }
  /** The snapshot under way is given up. */
  | { readonly kind: 'save-end'; readonly id: number }
  | { readonly kind: 'load-begin' | 'load-end'; readonly id: number }
  | {
      readonly kind: 'load';
      readonly id: number;
      /** RECORDS, LARGE_RECORD or PIECE. */
      readonly section: number;
      /** The body of a section, or the part of one that belongs to this shard. */
      readonly body: ArrayBuffer;
      /** How many of its bytes are used. */
      readonly bodyBytes: number;
      /** How many entries this shard will get at the most, with those of this section. */
      readonly expected: number;
    };

/** Which of these an order of the main thread is. */
export type SnapshotOrder = SnapshotRequest extends infer Request
  ? Request extends SnapshotRequest
    ? Omit<Request, 'id'>
    : never
  : never;

export interface SavedSection {
  /** Header and body. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly entries: number;
  /** The value of a large entry goes on in the next section, which must follow this one in the file. */
  readonly goesOn: boolean;
}

/** What became of the entries of one section. */
export interface LoadedCounts {
  readonly loaded: number;
  /** Put or removed since the start. */
  readonly superseded: number;
  readonly expired: number;
  /** No room, or too large for the settings of now. */
  readonly keptOut: number;
}

export type SnapshotReply =
  | {
      readonly kind: 'save';
      readonly id: number;
      /** Absent when there is nothing left to write. */
      readonly section: SavedSection | undefined;
    }
  | { readonly kind: 'save-end' | 'load-begin' | 'load-end'; readonly id: number }
  | {
      readonly kind: 'load';
      readonly id: number;
      readonly counts: LoadedCounts;
      /** Handed back for the next section; absent where it is a part of an entry now. */
      readonly body: ArrayBuffer | undefined;
      /** False once the shard takes no more: it is full, or was cleared. */
      readonly isOpen: boolean;
    };

/** Whether a message to a shard has to do with snapshots. Nobody waits for its reply as for that of a request. */
export function isSnapshotRequest(message: string | { readonly kind: string }): boolean {
  return typeof message === 'object' && SNAPSHOT_KINDS.has(message.kind);
}

const SNAPSHOT_KINDS: ReadonlySet<string> = new Set<SnapshotRequest['kind']>([
  'save',
  'save-end',
  'load-begin',
  'load',
  'load-end',
]);
