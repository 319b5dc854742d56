import { assert } from '../../src/shared/assert.ts';
import { blockChargeBytes } from '../../src/shared/segment-sizes.ts';
import type { SegmentMemory } from './segment-memory.ts';

/** A piece of a large value: the first `bytes` of its buffer. */
export interface Piece {
  readonly buffer: ArrayBuffer;
  readonly bytes: number;
}

/** A large value, outside of the blocks: its pieces one after the other. */
export interface Chain {
  readonly pieces: Piece[];
  /** Of the value so far. */
  bytes: number;
  chargeBytes: number;
  /** Reads under way. */
  readers: number;
  /**
   * - `growing`: its value is still coming.
   * - `stored`: an entry has it.
   * - `orphaned`: its entry is gone, but it is being read.
   * - `dropped`: its memory is gone. Whoever holds the chain finds out by this.
   */
  state: 'growing' | 'stored' | 'orphaned' | 'dropped';
}

/**
 * The chains of one segment. An entry names its chain by a number, so that the cleaner moves the entry without knowing of
 * the chain. The memory of a chain goes back to the system piece by piece, as that of a cleared segment does: a chain may
 * have hundreds of pieces.
 */
export class ChainTable {
  /** Bytes of the values of entries. */
  liveBytes = 0;
  /** What the ledger holds for all chains, but for memory that is about to go back. */
  reservedBytes = 0;
  /** Those that no entry has, the oldest first: growing and orphaned ones. */
  readonly loose = new Set<Chain>();

  private readonly stored: (Chain | undefined)[] = [];
  private readonly freeIds: number[] = [];
  private readonly memory: SegmentMemory;

  constructor(memory: SegmentMemory) {
    this.memory = memory;
  }

  /** How many entries have a chain. */
  get count(): number {
    return this.stored.length - this.freeIds.length;
  }

  /** What the ledger holds for chains that no entry has. */
  get looseBytes(): number {
    let bytes = 0;
    for (const { chargeBytes } of this.loose) bytes += chargeBytes;
    return bytes;
  }

  at(id: number): Chain {
    const chain = this.stored[id];
    assert(chain !== undefined, 'an entry names a chain that is there');
    return chain;
  }

  /** A chain without pieces. */
  begin(): Chain {
    const chain: Chain = { pieces: [], bytes: 0, chargeBytes: 0, readers: 0, state: 'growing' };
    this.loose.add(chain);
    return chain;
  }

  /** Adds a piece to a growing chain. Its charge is reserved already: see `blockChargeBytes`. */
  add(chain: Chain, piece: Piece): void {
    assert(chain.state === 'growing', 'only a growing chain is added to');
    const chargeBytes = blockChargeBytes(piece.buffer.byteLength);
    chain.pieces.push(piece);
    chain.bytes += piece.bytes;
    chain.chargeBytes += chargeBytes;
    this.reservedBytes += chargeBytes;
  }

  /** Makes a growing chain that of an entry. @returns the number by which the entry names it. */
  store(chain: Chain): number {
    assert(chain.state === 'growing', 'a chain is stored once');
    this.loose.delete(chain);
    chain.state = 'stored';
    this.liveBytes += chain.bytes;
    const id = this.freeIds.pop() ?? this.stored.length;
    this.stored[id] = chain;
    return id;
  }

  /** The entry of a chain is gone. @returns the bytes of its value; 0 where they stay, because they are being read. */
  release(id: number): number {
    const chain = this.at(id);
    this.stored[id] = undefined;
    this.freeIds.push(id);
    this.liveBytes -= chain.bytes;
    if (chain.readers > 0) {
      chain.state = 'orphaned';
      this.loose.add(chain);
      return 0;
    }
    this.giveBack(chain);
    return chain.bytes;
  }

  /** All entries are gone. */
  clear(): void {
    for (const [id, chain] of this.stored.entries()) if (chain) this.release(id);
    this.stored.length = 0;
    this.freeIds.length = 0;
  }

  /** Gives up a chain that no entry has. One that is dropped already may be dropped again. */
  drop(chain: Chain): void {
    if (chain.state === 'dropped') return;
    assert(this.loose.delete(chain), 'the chain of an entry goes with its entry');
    this.giveBack(chain);
  }

  /** Gives up the oldest chain that no entry has. @returns whether there was one. */
  dropOldest(): boolean {
    const [oldest] = this.loose;
    if (oldest) this.drop(oldest);
    return oldest !== undefined;
  }

  /** A read begins: the chain stays until it ends, unless its memory is needed and nothing else can go. */
  pin(chain: Chain): void {
    chain.readers++;
  }

  unpin(chain: Chain): void {
    chain.readers--;
    assert(chain.readers >= 0, 'a read ends once');
    if (chain.readers === 0 && chain.state === 'orphaned') this.drop(chain);
  }

  /** @throws InvariantError @param ids that entries name. */
  check(ids: readonly number[]): void {
    const chains = new Set(ids.map((id) => this.at(id)));
    assert(chains.size === ids.length && ids.length === this.count, 'each chain has one entry');
    let liveBytes = 0;
    let reservedBytes = 0;
    for (const chain of chains) {
      assert(chain.state === 'stored', 'the chain of an entry is stored');
      liveBytes += chain.bytes;
    }
    for (const chain of [...chains, ...this.loose]) {
      const { pieces } = chain;
      assert(chain.bytes === pieces.reduce((sum, { bytes }) => sum + bytes, 0), 'the bytes of pieces add up');
      assert(!pieces.some(({ buffer }) => buffer.detached), 'the memory of a chain is there');
      const chargeBytes = pieces.reduce((sum, { buffer }) => sum + blockChargeBytes(buffer.byteLength), 0);
      assert(chain.chargeBytes === chargeBytes, 'the charges of pieces add up');
      reservedBytes += chargeBytes;
    }
    for (const { state, readers } of this.loose) {
      assert(
        state === 'growing' || (state === 'orphaned' && readers > 0),
        'a chain without an entry has a use',
      );
    }
    assert(liveBytes === this.liveBytes, 'live bytes of chains add up');
    assert(reservedBytes === this.reservedBytes, 'reserved bytes of chains add up');
  }

  private giveBack(chain: Chain): void {
    chain.state = 'dropped';
    this.reservedBytes -= chain.chargeBytes;
    for (const { buffer } of chain.pieces) {
      this.memory.giveBackLater(buffer, blockChargeBytes(buffer.byteLength));
    }
    chain.pieces.length = 0;
  }
}
