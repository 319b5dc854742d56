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
import {
  type Conditions,
  type EntryTexts,
  NO_CONDITIONS,
  type PutOptions,
  decodePutOptions,
  encodeHead,
} from '../src/shared/raw-entries.ts';
import { judge } from './reads/conditions.ts';
import { KEPT_TAG_BYTES, type TagBuilder, entityTag, tagOfEntry } from './reads/entity-tag.ts';
import type { Reads } from './reads/reads.ts';
import type { Session } from './session.ts';
import { type Chain, NO_SLOT, type SegmentStore } from './store/segment-store.ts';

/** Raw PUTs and DELETEs, with their conditions. Each is judged and carried out in its place among the requests. */
export class RawWrites {
  private readonly segment: SegmentStore;
  private readonly reads: Reads;

  constructor(segment: SegmentStore, reads: Reads) {
    this.segment = segment;
    this.reads = reads;
  }

  /** @param options as `encodePutOptions` made them. */
  put(session: Session, key: string, value: Uint8Array, options: string): void {
    const { ttlMs, conditions, ...texts } = decodePutOptions(options);
    const { code, tag } = this.store(key, value, { ttlMs, conditions, ...texts }, true);
    if (code !== CREATED && code !== REPLACED) {
      session.reply(String.fromCharCode(code));
      return;
    }
    const head = encodeHead({ ...texts, valueBytes: value.length, ttlMs, tag });
    session.reply(encodeRawReply(code, head, ''));
  }

  /**
   * Stores a value if its conditions are met.
   * @param wantsTag whether the tag is to be told; it is '' else.
   * @returns the code of the reply.
   */
  store(
    key: string,
    value: Uint8Array,
    options: PutOptions,
    wantsTag: boolean,
  ): { readonly code: number; readonly tag: string } {
    const { ttlMs, conditions, ...texts } = options;
    const { isThere, isMet } = this.judge(key, conditions);
    if (!isMet) return { code: PRECONDITION_FAILED, tag: '' };
    this.reads.settle(key);
    const keepsTag = value.length >= KEPT_TAG_BYTES;
    const tag = keepsTag || wantsTag ? entityTag(value, texts) : '';
    const isText = isAscii(value);
    const metadata =
      isText && !keepsTag && hasNoTexts(texts) ? undefined : { ...texts, tag: keepsTag ? tag : '', isText };
    if (!this.segment.put(key, value, ttlMs, metadata)) return { code: TOO_LARGE, tag: '' };
    return { code: isThere ? REPLACED : CREATED, tag };
  }

  /** Stores a value that has come in pieces, or drops it. @returns the reply. */
  putLarge(
    key: string,
    chain: Chain,
    tagBuilder: TagBuilder,
    options: string,
  ): { readonly code: number; readonly head: string } {
    const { segment, reads } = this;
    const { ttlMs, conditions, ...texts } = decodePutOptions(options);
    const { isThere, isMet } = this.judge(key, conditions);
    if (!isMet || chain.state === 'dropped') {
      segment.largeValues.drop(chain);
      return { code: isMet ? BUSY : PRECONDITION_FAILED, head: '' };
    }
    reads.settle(key);
    const tag = tagBuilder.finish(texts);
    const head = encodeHead({ ...texts, valueBytes: chain.bytes, ttlMs, tag });
    const isStored = segment.putLarge(key, chain, ttlMs, { ...texts, tag, isText: false });
    return isStored ? { code: isThere ? REPLACED : CREATED, head } : { code: BUSY, head: '' };
  }

  delete(session: Session, key: string, conditions: Conditions): void {
    if (!this.judge(key, conditions).isMet) {
      session.reply(String.fromCharCode(PRECONDITION_FAILED));
      return;
    }
    this.reads.settle(key);
    session.reply(String.fromCharCode(this.segment.delete(key) ? DELETED : MISS));
  }

  private judge(key: string, conditions: Conditions): { readonly isThere: boolean; readonly isMet: boolean } {
    const { segment } = this;
    const slot = segment.peek(key);
    const isThere = slot !== NO_SLOT;
    if (conditions === NO_CONDITIONS) return { isThere, isMet: true };
    const tag = (): string => tagOfEntry(segment, slot, segment.metadata(slot));
    return { isThere, isMet: judge(conditions, isThere ? tag : undefined) === 'go on' };
  }
}

/** What is stored without them costs neither bytes nor time for its metadata. */
function hasNoTexts({ contentType, contentEncoding, headers }: EntryTexts): boolean {
  return contentType === '' && contentEncoding === '' && headers[0] === '' && headers[1] === '';
}
