import type { Parts } from '../../src/shared/parts.ts';
import {
  GET,
  GET_GZIP,
  HANDED_OVER_BYTES,
  HIT,
  HIT_GZIP,
  type Payload,
  RAW_HIT,
  RAW_HIT_GZIP,
  bytesOf,
} from '../../src/shared/protocol.ts';
import { encodeHead, isCompressible } from '../../src/shared/raw-entries.ts';
import type { SegmentStore } from '../store/segment-store.ts';
import { tagOfEntry } from './entity-tag.ts';
import { GrowingBuffer } from './growing-buffer.ts';

/** Makes an entry into the whole body of a reply. */
export type Represent = (store: SegmentStore, key: string, slot: number) => Payload;

/** What a read wants to have, as its opcode says. */
export interface ReadKind {
  readonly represent: Represent;
  /** The same, not copied; undefined where the body cannot be put together of stored bytes. */
  readonly partsOf: (store: SegmentStore, key: string, slot: number) => Parts | undefined;
  /** What the reply says of the entry beside its body, if anything. */
  readonly head?: (store: SegmentStore, slot: number) => string;
  /** Whether the body is the value itself, and so its gzip form that of the value. */
  readonly isOfValue: boolean;
  readonly acceptsGzip: boolean;
  readonly hitCode: number;
  readonly gzipCode: number;
}

const JSON_READ: ReadKind = {
  represent: jsonBody,
  partsOf: plainJsonParts,
  isOfValue: false,
  acceptsGzip: false,
  hitCode: HIT,
  gzipCode: HIT_GZIP,
};
const JSON_READ_GZIP: ReadKind = { ...JSON_READ, acceptsGzip: true };
const RAW_READ: ReadKind = {
  represent: rawBody,
  partsOf: (store, _key, slot) => [store.valueView(slot)],
  head: headOf,
  isOfValue: true,
  acceptsGzip: false,
  hitCode: RAW_HIT,
  gzipCode: RAW_HIT_GZIP,
};
const RAW_READ_GZIP: ReadKind = { ...RAW_READ, acceptsGzip: true };

/**
 * The one place that knows how entries look outside of the shard. Another representation is another opcode and another
 * function here.
 * @returns undefined where the opcode is not that of a JSON read.
 */
export function readKindOf(opcode: number): ReadKind | undefined {
  if (opcode === GET) return JSON_READ;
  return opcode === GET_GZIP ? JSON_READ_GZIP : undefined;
}

/** Only text that no client has encoded is worth compressing. */
export function rawReadKind(acceptsGzip: boolean, store: SegmentStore, slot: number): ReadKind {
  return acceptsGzip && isCompressible(store.metadata(slot)) ? RAW_READ_GZIP : RAW_READ;
}

/** What a reply says of an entry beside its body. */
export function headOf(store: SegmentStore, slot: number): string {
  const metadata = store.metadata(slot);
  // Named one by one: to spread an object takes longer.
  return encodeHead({
    contentType: metadata.contentType,
    contentEncoding: metadata.contentEncoding,
    headers: metadata.headers,
    valueBytes: store.valueBytes(slot),
    ttlMs: wholeTtlMs(store, slot),
    tag: tagOfEntry(store, slot, metadata),
  });
}

/** At least 1; 0 for an entry that does not expire. */
function wholeTtlMs(store: SegmentStore, slot: number): number {
  const ttlMs = store.ttlMs(slot);
  return ttlMs === undefined ? 0 : Math.max(1, Math.floor(ttlMs));
}

function rawBody(store: SegmentStore, _key: string, slot: number): Payload {
  return store.valueBytes(slot) >= HANDED_OVER_COPY_BYTES
    ? bytesOf(store.valueView(slot))
    : store.value(slot);
}

/** Long values are made into JSON in pieces of this size. */
const PIECE_BYTES = 2 ** 13;
/** How much more escaping than the first piece the rest may need on average before the buffer has to grow. */
const STRETCH_SLACK = 1 / 16;

/**
 * `{"status":"OK","key":…,"value":…}`. When a value is read for the first time, it is searched for what must be escaped.
 * If there is nothing, it is copied from then on.
 */
function jsonBody(store: SegmentStore, key: string, slot: number): Payload {
  const head = jsonHead(key);
  const isPlain = store.isPlain(slot);
  if (store.valueBytes(slot) >= HANDED_OVER_BYTES) {
    // Strings as long as the value would be left to the collector, each beside all the others.
    const value = store.valueView(slot);
    if (isPlain) return bytesOf(head, value, '"}');
    const body = escapeInPieces(head, value);
    if (body.length === head.length + value.length + 2) store.markPlain(slot);
    return body;
  }
  const value = store.value(slot);
  if (isPlain) return `${head}${value}"}`;
  const text = escape(value);
  if (text.length === value.length) store.markPlain(slot);
  return `${head}${text}"}`;
}

function jsonHead(key: string): string {
  return `{"status":"OK","key":${JSON.stringify(key)},"value":"`;
}

function plainJsonParts(store: SegmentStore, key: string, slot: number): Parts | undefined {
  return store.isPlain(slot) ? [jsonHead(key), store.valueView(slot), '"}'] : undefined;
}

function escapeInPieces(head: string, value: Buffer): Buffer<ArrayBuffer> {
  const first = escape(value.toString('latin1', 0, PIECE_BYTES));
  const stretch = first.length / Math.min(value.length, PIECE_BYTES);
  const body = new GrowingBuffer(head.length + value.length * stretch * (1 + STRETCH_SLACK));
  body.add(head);
  body.add(first);
  for (let from = PIECE_BYTES; from < value.length; from += PIECE_BYTES) {
    body.add(escape(value.toString('latin1', from, from + PIECE_BYTES)));
  }
  body.add('"}');
  return body.take();
}

/** Text as it stands in JSON between its quotes. */
function escape(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/**
 * Bodies of this size or more are handed over where they are a copy of stored bytes. On the way to the client the text of
 * a string is copied four times more.
 */
const HANDED_OVER_COPY_BYTES = 2 ** 13;

/** A copy of bytes for one reader: a string, or a buffer that can be handed over. */
export function payloadOf(bytes: Buffer): Payload {
  return bytes.length >= HANDED_OVER_COPY_BYTES ? bytesOf(bytes) : bytes.toString('latin1');
}
