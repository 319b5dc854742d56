import { assert } from './assert.ts';
import { decodeU16, decodeU32, decodeU48, encodeU16, encodeU32, encodeU48 } from './protocol.ts';
import { MAX_METADATA_TEXT_BYTES, TAG_CHARACTERS } from './segment-sizes.ts';

/**
 * What raw requests and their replies have beside key and value, as text of one-byte characters:
 *
 *     conditions   nothing, or  tags of If-Match ‖ tags of If-None-Match
 *     tags         count:2 ‖ one tag after the other         count ff ff: the header is absent, ff fe: it is `*`
 *     options      ttl:6 ‖ texts ‖ conditions                 of a raw put
 *     head         value length:4 ‖ ttl:6 ‖ tag ‖ texts       of a reply
 *     texts        a length of one byte each of content type, content encoding, two headers; then these
 *
 * A ttl is in milliseconds, 0 for none. Lengths and counts are as in `protocol.ts`.
 */

/** The entity tags of a conditional header, without quotes; `*` for any. */
export type Tags = '*' | readonly string[];

/** The conditions of a request. A tag that a shard cannot have made matches nothing. */
export interface Conditions {
  readonly ifMatch?: Tags | undefined;
  readonly ifNoneMatch?: Tags | undefined;
}

/** What an entry is stored and read with. Each is '' where there is none, and has at most 255 one-byte characters. */
export interface EntryTexts {
  readonly contentType: string;
  readonly contentEncoding: string;
  readonly headers: readonly [string, string];
}

export interface PutOptions extends EntryTexts {
  readonly ttlMs: number;
  readonly conditions: Conditions;
}

/** What the reply to a raw request says of the entry. */
export interface EntryHead extends EntryTexts {
  readonly valueBytes: number;
  /** What is left of its lifetime. */
  readonly ttlMs: number;
  /** Of the stored value, without quotes. */
  readonly tag: string;
}

/** Of an entry whose client named no type. */
export const DEFAULT_TYPE = 'application/octet-stream';
/** An entry that was put as JSON has no content type. It is text. */
const COMPRESSIBLE =
  /^(?:$|text\/|application\/(?:json|xml|javascript|manifest|x-ndjson)\b|[^;]*\+(?:json|xml)\b)/i;

/** Whether a value may be sent as gzip: it is text, and no client has encoded it. */
export function isCompressible({ contentType, contentEncoding }: Omit<EntryTexts, 'headers'>): boolean {
  return contentEncoding === '' && COMPRESSIBLE.test(contentType);
}

export const NO_CONDITIONS: Conditions = {};

const NO_TTL = encodeU48(0);
const ABSENT = 0xffff;
const ANY = 0xfffe;
/** More do not fit into the headers of one request. */
const MAX_TAGS = 1000;

export function encodeConditions({ ifMatch, ifNoneMatch }: Conditions): string {
  if (ifMatch === undefined && ifNoneMatch === undefined) return '';
  return encodeTags(ifMatch) + encodeTags(ifNoneMatch);
}

export function decodeConditions(text: string): Conditions {
  if (text === '') return NO_CONDITIONS;
  const first = decodeU16(text, 0);
  const second = first < ANY ? 2 + first * TAG_CHARACTERS : 2;
  return { ifMatch: decodeTags(text, 0), ifNoneMatch: decodeTags(text, second) };
}

export function encodePutOptions(options: PutOptions): string {
  return encodeU48(options.ttlMs) + encodeTexts(options) + encodeConditions(options.conditions);
}

export function decodePutOptions(text: string): PutOptions {
  const texts = decodeTexts(text, 6);
  return { ttlMs: decodeU48(text, 0), ...texts, conditions: decodeConditions(text.slice(textsEnd(text, 6))) };
}

export function encodeHead(head: EntryHead): string {
  const ttl = head.ttlMs === 0 ? NO_TTL : encodeU48(head.ttlMs);
  return encodeU32(head.valueBytes) + ttl + head.tag + encodeTexts(head);
}

export function decodeHead(text: string): EntryHead {
  const tagEnd = 10 + TAG_CHARACTERS;
  // Named one by one: to spread an object takes as long as all the rest.
  const { contentType, contentEncoding, headers } = decodeTexts(text, tagEnd);
  return {
    valueBytes: decodeU32(text, 0),
    ttlMs: decodeU48(text, 4),
    tag: text.slice(10, tagEnd),
    contentType,
    contentEncoding,
    headers,
  };
}

function encodeTags(tags: Tags | undefined): string {
  if (tags === undefined) return encodeU16(ABSENT);
  if (tags === '*') return encodeU16(ANY);
  const ours = tags.filter((tag) => tag.length === TAG_CHARACTERS).slice(0, MAX_TAGS);
  return encodeU16(ours.length) + ours.join('');
}

function decodeTags(text: string, at: number): Tags | undefined {
  const count = decodeU16(text, at);
  if (count === ABSENT) return undefined;
  if (count === ANY) return '*';
  const from = at + 2;
  return Array.from({ length: count }, (_, i) =>
    text.slice(from + i * TAG_CHARACTERS, from + (i + 1) * TAG_CHARACTERS),
  );
}

export function encodeTexts({ contentType, contentEncoding, headers: [first, second] }: EntryTexts): string {
  const [a, b, c, d] = [contentType.length, contentEncoding.length, first.length, second.length];
  assert(Math.max(a, b, c, d) <= MAX_METADATA_TEXT_BYTES, 'a text has a length of one byte');
  return String.fromCharCode(a, b, c, d) + contentType + contentEncoding + first + second;
}

export function decodeTexts(text: string, at: number): EntryTexts {
  const typeEnd = at + 4 + text.charCodeAt(at);
  const encodingEnd = typeEnd + text.charCodeAt(at + 1);
  const headerEnd = encodingEnd + text.charCodeAt(at + 2);
  return {
    contentType: text.slice(at + 4, typeEnd),
    contentEncoding: text.slice(typeEnd, encodingEnd),
    headers: [text.slice(encodingEnd, headerEnd), text.slice(headerEnd, textsEnd(text, at))],
  };
}

function textsEnd(text: string, at: number): number {
  let end = at + 4;
  for (let i = 0; i < 4; i++) end += text.charCodeAt(at + i);
  return end;
}
