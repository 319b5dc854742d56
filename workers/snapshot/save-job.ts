import {
  HEADER_BYTES,
  LARGE_RECORD,
  PIECE,
  RECORDS,
  SECTION_BYTES,
  sealSection,
} from '../../src/shared/snapshot-format.ts';
import type { SavedSection } from '../../src/shared/snapshots.ts';
import { type Chain, NO_SLOT, type SegmentStore } from '../store/segment-store.ts';

/** Steps of the walk between two looks at the clock: some microseconds. */
const STEPS = 32;

/** A section that is being filled. */
interface OpenSection {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly pass: number;
  /** Where the next record begins, in words. */
  at: number;
  entries: number;
}

/** A large value that is being written. */
interface OpenValue {
  readonly chain: Chain;
  readonly pass: number;
  /** How many of its pieces are written. */
  pieces: number;
}

/** One snapshot of a shard under way: makes sections of its entries, hot to cold, in slices. */
export class SaveJob {
  private readonly store: SegmentStore;
  private readonly shard: number;
  private readonly ready: SavedSection[] = [];
  private open: OpenSection | undefined;
  private value: OpenValue | undefined;

  constructor(store: SegmentStore, shard: number) {
    this.store = store;
    this.shard = shard;
    store.snapshot.begin();
  }

  /** Works until a section is whole, or for about `budgetMs`. @returns whether it is ready. */
  work(budgetMs: number, nowMs: () => number): boolean {
    const stopMs = nowMs() + budgetMs;
    // Each slice adds something. So it ends, even if all entries are used again between any two slices.
    let hasAdded = false;
    while (this.ready.length === 0 && !this.isOver) {
      if (this.value) this.addPiece(this.value);
      else if (this.walk()) hasAdded = true;
      if (hasAdded && nowMs() >= stopMs) break;
    }
    return this.ready.length > 0 || this.isOver;
  }

  /** The next section that is whole; undefined when there is nothing left to write. */
  take(): SavedSection | undefined {
    return this.ready.shift();
  }

  end(): void {
    this.endValue();
    this.store.snapshot.end();
  }

  private get isOver(): boolean {
    return this.store.snapshot.isOver && this.open === undefined && this.value === undefined;
  }

  /** @returns whether an entry was added. */
  private walk(): boolean {
    const { snapshot } = this.store;
    let hasAdded = false;
    for (let i = 0; i < STEPS && this.ready.length === 0; i++) {
      if (snapshot.isOver) {
        this.seal();
        return hasAdded;
      }
      const slot = snapshot.step();
      if (slot === NO_SLOT) continue;
      this.add(slot);
      hasAdded = true;
    }
    return hasAdded;
  }

  private add(slot: number): void {
    const { snapshot } = this.store;
    const { pass } = snapshot;
    const words = snapshot.recordWords(slot);
    const chain = snapshot.chainOf(slot);
    const { open } = this;
    if (open && (open.pass !== pass || open.at + words > open.words.length || chain)) this.seal();
    this.open ??= openSection(pass, chain ? words : Math.max(words, SECTION_BYTES / 4));
    this.open.at = snapshot.write(slot, this.open.words, this.open.at);
    this.open.entries++;
    if (chain) this.begin(chain, pass);
  }

  private begin(chain: Chain, pass: number): void {
    this.seal(LARGE_RECORD);
    this.store.largeValues.pin(chain);
    this.value = { chain, pass, pieces: 0 };
  }

  private addPiece(value: OpenValue): void {
    const { chain, pass } = value;
    const piece = chain.pieces[value.pieces] as (typeof chain.pieces)[number] | undefined;
    // Its memory was needed for something else: what is written of it is not whole, and is not read.
    if (!piece) {
      this.endValue();
      return;
    }
    value.pieces++;
    const bytes = new Uint8Array(HEADER_BYTES + piece.bytes);
    bytes.set(new Uint8Array(piece.buffer, 0, piece.bytes), HEADER_BYTES);
    const goesOn = value.pieces < chain.pieces.length;
    if (!goesOn) this.endValue();
    this.finish(bytes, PIECE, pass, 0, goesOn);
  }

  private endValue(): void {
    if (this.value) this.store.largeValues.unpin(this.value.chain);
    this.value = undefined;
  }

  private seal(kind = RECORDS): void {
    const { open } = this;
    this.open = undefined;
    if (!open) return;
    const bytes = new Uint8Array(open.words.buffer, 0, open.at * 4);
    this.finish(bytes, kind, open.pass, open.entries, kind === LARGE_RECORD);
  }

  private finish(
    bytes: Uint8Array<ArrayBuffer>,
    kind: number,
    pass: number,
    entries: number,
    goesOn: boolean,
  ): void {
    sealSection(bytes, { kind, pass, shard: this.shard, entries });
    this.ready.push({ bytes, entries, goesOn });
  }
}

/** @param bodyWords how many words of records it has room for. */
function openSection(pass: number, bodyWords: number): OpenSection {
  const headerWords = HEADER_BYTES / 4;
  return { words: new Uint32Array(headerWords + bodyWords), pass, at: headerWords, entries: 0 };
}
