import { isAscii } from 'node:buffer';
import {
  BUSY,
  CREATED,
  DELETED,
  MISS,
  PRECONDITION_FAILED,
  REPLACED,
  TOO_LARGE,
  encodeRawReply,
} from '../src/shared/protocol.ts';
import { type Conditions, decodePutOptions, encodeHead } from '../src/shared/raw-entries.ts';
import { judge } from './reads/conditions.ts';
import { KEPT_TAG_BYTES, type TagBuilder, entityTag, tagOfEntry } from './reads/entity-tag.ts';
import type { Reads } from './reads/reads.ts';
import type { Session } from './session.ts';
import { type Chain, NO_SLOT, type SegmentStore } from './store/segment-store.ts';

/** Raw PUTs and DELETEs, with their conditions. Each is judged and carried out in its place among the requests. */
export class RawWrites {
  private readonly store: SegmentStore;
  private readonly reads: Reads;

  constructor(store: SegmentStore, reads: Reads) {
    this.store = store;
    this.reads = reads;
  }

  /** @param options as `encodePutOptions` made them. */
  putRaw(session: Session, key: string, value: Uint8Array, options: string): void {
    const { ttlMs, conditions, ...texts } = decodePutOptions(options);
    const { isThere, isMet } = this.judge(key, conditions);
    if (!isMet) {
      session.reply(String.fromCharCode(PRECONDITION_FAILED));
      return;
    }
    this.reads.settle(key);
    const tag = entityTag(value, texts);
    const metadata = { ...texts, tag: value.length >= KEPT_TAG_BYTES ? tag : '', isText: isAscii(value) };
    if (!this.store.put(key, value, ttlMs, metadata)) {
      session.reply(String.fromCharCode(TOO_LARGE));
      return;
    }
    const head = encodeHead({ ...texts, valueBytes: value.length, ttlMs, tag });
    session.reply(encodeRawReply(isThere ? REPLACED : CREATED, head, ''));
  }

  /** Stores a value that has come in pieces, or drops it. @returns the reply. */
  putLarge(
    key: string,
    chain: Chain,
    tagBuilder: TagBuilder,
    options: string,
  ): { readonly code: number; readonly head: string } {
    const { store, reads } = this;
    const { ttlMs, conditions, ...texts } = decodePutOptions(options);
    const { isThere, isMet } = this.judge(key, conditions);
    if (!isMet || chain.state === 'dropped') {
      store.largeValues.drop(chain);
      return { code: isMet ? BUSY : PRECONDITION_FAILED, head: '' };
    }
    reads.settle(key);
    const tag = tagBuilder.finish(texts);
    const head = encodeHead({ ...texts, valueBytes: chain.bytes, ttlMs, tag });
    const isStored = store.putLarge(key, chain, ttlMs, { ...texts, tag, isText: false });
    return isStored ? { code: isThere ? REPLACED : CREATED, head } : { code: BUSY, head: '' };
  }

  delete(session: Session, key: string, conditions: Conditions): void {
    if (!this.judge(key, conditions).isMet) {
      session.reply(String.fromCharCode(PRECONDITION_FAILED));
      return;
    }
    this.reads.settle(key);
    session.reply(String.fromCharCode(this.store.delete(key) ? DELETED : MISS));
  }

  private judge(key: string, conditions: Conditions): { readonly isThere: boolean; readonly isMet: boolean } {
    const { store } = this;
    const slot = store.peek(key);
    const isThere = slot !== NO_SLOT;
    const tag = (): string => tagOfEntry(store, slot, store.metadata(slot));
    return { isThere, isMet: judge(conditions, isThere ? tag : undefined) === 'go on' };
  }
}
