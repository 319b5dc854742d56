import {
  BUSY,
  CLEARED,
  CREATED,
  type ControlRequest,
  type Payload,
  REPLACED,
  STORED,
  TIER_UNAVAILABLE,
  encodeLate,
  encodeU32,
} from '../../src/shared/protocol.ts';
import {
  type Conditions,
  type EntryTexts,
  NO_CONDITIONS,
  decodePutOptions,
  encodeHead,
} from '../../src/shared/raw-entries.ts';
import type { TierFigures } from '../../src/shared/tier.ts';
import type { ClientBatches } from '../client-batches.ts';
import type { Reads } from '../reads/reads.ts';
import type { Session } from '../session.ts';
import type { SegmentStore } from '../store/segment-store.ts';
import type { Engine } from './engine.ts';
import { Entries } from './entries.ts';
import { NearCache } from './near-cache.ts';
import { TierBatch, isNear } from './tier-batch.ts';

/** The parts of a shard that a tier works with. */
export interface TierParts {
  readonly store: SegmentStore;
  readonly reads: Reads;
  readonly clientBatches: ClientBatches;
}

export interface TierOptions extends TierParts {
  readonly shard: number;
  readonly engine: Engine;
  readonly whenUnavailable: '503' | 'miss';
  /** After which the HTTP thread has given a request up. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
}

const NO_TEXTS: EntryTexts = { contentType: '', contentEncoding: '', headers: ['', ''] };

/**
 * Makes the shard the near cache of an engine. What the store has not, is asked for there; what is written, is written
 * there first. This is what the actor sees: requests come by their sessions, and are answered under tickets.
 */
export class Tier {
  private readonly options: TierOptions;
  private readonly near: NearCache;
  private clearing: Promise<number> | undefined;
  /** The one that begins when the present one has ended. */
  private nextClear: Promise<number> | undefined;

  constructor(options: TierOptions) {
    this.options = options;
    this.near = new NearCache({ ...options, entries: new Entries(options.engine) });
  }

  /** True while requests wait for the engine, which needs turns of the event loop. */
  get isBusy(): boolean {
    return this.near.isBusy || this.clearing !== undefined;
  }

  get figures(): TierFigures {
    return { ...this.near.counts, nodes: this.options.engine.nodes.state };
  }

  /** What clients have stored, deleted and cleared: the store counts copies. */
  clientCounts({ cleared }: { readonly cleared: number }): {
    puts: number;
    deletes: number;
    cleared: number;
  } {
    return { ...this.near.clients, cleared: cleared - this.near.flushedEntries };
  }

  /** A read has found no copy. */
  read(session: Session, key: string, opcode: number, conditions: Conditions): void {
    const ticket = this.admit(session, 0);
    if (ticket === undefined) return;
    this.near.get(key, {
      found: () => this.options.reads.answerRemote({ session, ticket, key, opcode, conditions }),
      refuse: (code) => session.replyLate(ticket, code, ''),
    });
  }

  put(session: Session, key: string, value: string | Uint8Array, ttlMs: number): void {
    const ticket = this.admit(session, value.length);
    if (ticket === undefined) return;
    const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
    this.near.put(key, bytes, { texts: NO_TEXTS, ttlMs, conditions: NO_CONDITIONS }, (code) => {
      const isStored = code === CREATED || code === REPLACED;
      session.replyLate(ticket, isStored ? STORED : code, '');
    });
  }

  /** @param options as `encodePutOptions` made them. */
  putRaw(session: Session, key: string, value: Uint8Array, options: string): void {
    const ticket = this.admit(session, value.length);
    if (ticket === undefined) return;
    const { ttlMs, conditions, ...texts } = decodePutOptions(options);
    const valueBytes = value.length;
    this.near.put(key, value, { texts, ttlMs, conditions }, (code, tag) => {
      const isStored = code === CREATED || code === REPLACED;
      const head = isStored ? encodeHead({ ...texts, valueBytes, ttlMs, tag }) : undefined;
      session.replyLate(ticket, code, '', head);
    });
  }

  delete(session: Session, key: string, conditions: Conditions): void {
    const ticket = this.admit(session, 0);
    if (ticket === undefined) return;
    this.near.delete(key, conditions, (code) => session.replyLate(ticket, code, ''));
  }

  /** Carries out a client's batch. @param requests which the main thread has checked. They are freed. */
  run(session: Session, requests: Payload): void {
    const { store, reads, clientBatches } = this.options;
    if (isNear(store, requests)) {
      clientBatches.run(session, requests);
      return;
    }
    const ticket = session.nextTicket();
    session.reply(encodeLate(ticket));
    session.flush();
    new TierBatch(this.near, store, clientBatches).run(requests, (code, records) =>
      reads.sendBatchLate(session, ticket, code, records),
    );
  }

  /** A page of the keys in the engine. The first shard lists them for all. */
  listKeys(session: Session, { id, prefix, cursor }: ControlRequest & { readonly kind: 'keys' }): void {
    if (this.options.shard !== 0) {
      session.post({ kind: 'keys', id, keys: [] });
      return;
    }
    this.options.engine.listKeys(prefix, cursor).then(
      (page) => session.post({ kind: 'keys', id, ...page }),
      () => {
        this.near.counts.failures++;
        session.post({ kind: 'keys', id });
      },
    );
  }

  /** Removes all entries. The first shard does it in the engine, the others are asked when that is done. */
  clear(session: Session): void {
    this.near.flush();
    if (this.options.shard !== 0) {
      session.reply(String.fromCharCode(CLEARED) + encodeU32(0));
      return;
    }
    const ticket = session.nextTicket();
    session.reply(encodeLate(ticket));
    const reply = (code: number, payload: string): void =>
      session.post({ kind: 'late', ticket, code, payload });
    this.clearEngine().then(
      (removed) => reply(CLEARED, encodeU32(removed)),
      () => {
        this.near.counts.failures++;
        reply(TIER_UNAVAILABLE, '');
      },
    );
  }

  /** See `NearCache`. */
  invalidate(key: string | null): void {
    this.near.invalidate(key);
  }

  flush(): void {
    this.near.flush();
  }

  expire(): void {
    this.near.expire();
  }

  /** @returns how many entries have been removed since it was called. */
  private clearEngine(): Promise<number> {
    if (!this.clearing) return this.beginClear();
    // What was put since the present one began may be behind it already.
    this.nextClear ??= this.clearing
      .catch(() => 0)
      .then(async (before) => {
        this.nextClear = undefined;
        return before + (await this.beginClear());
      });
    return this.nextClear;
  }

  private beginClear(): Promise<number> {
    this.clearing = this.options.engine.clear().finally(() => {
      this.clearing = undefined;
      // What was read meanwhile may have been removed since, and our own removals are not announced.
      this.near.flush();
    });
    return this.clearing;
  }

  /** @returns a ticket for a request that may wait; undefined where it was refused. */
  private admit(session: Session, bytes: number): number | undefined {
    if (!this.near.hasRoomFor(bytes)) {
      session.reply(String.fromCharCode(BUSY));
      return undefined;
    }
    const ticket = session.nextTicket();
    session.reply(encodeLate(ticket));
    return ticket;
  }
}
