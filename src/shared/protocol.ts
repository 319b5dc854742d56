import type { MessagePort } from 'node:worker_threads';
import type { ShardStats } from './stats-counters.ts';
import type { DoorbellBuffers } from './doorbell.ts';
import { free } from './free.ts';
import type { LargeValueMessage, LargeValueReply } from './large-values.ts';
import { type Parts, lengthOf, writeParts } from './parts.ts';
import type { SnapshotReply, SnapshotRequest } from './snapshots.ts';
import type { ThreadFigures } from './thread-meter.ts';
import type { TierFigures } from './tier.ts';

/**
 * What crosses the port of a session. There are five kinds of message:
 * - A batch, one string: requests one after the other, in the order in which they came. The shard answers with one or
 *   more strings of replies in the same order, so neither side sends numbers to match them by. A string of one-byte
 *   characters crosses a port as one copy of its bytes.
 * - A large PUT, or the reply to a large GET: an object with the bytes in a buffer that is handed over. Nothing is
 *   copied, and no string of that length is left to the collector. It keeps its place among the batches.
 * - The requests of one `POST /batch` for this shard. It is replied to with the records of the answer: see
 *   `batch-records.ts`. A long answer is handed over like that to a large GET. It keeps its place, too.
 * - A message of an upload or a read of a value in pieces: see `large-values.ts`.
 * - A control message, an object. A request carries a number, and its reply carries the same one. Those without a number
 *   are notices that nobody answers.
 *
 *     request  g ‖ key length:2 ‖ key                                    get
 *              G ‖ key length:2 ‖ key                                    get, gzip accepted
 *              p ‖ key length:2 ‖ value length:4 ‖ key ‖ value           put
 *              P ‖ key length:2 ‖ value length:4 ‖ ttl:6 ‖ key ‖ value   put with a ttl in ms
 *              d ‖ key length:2 ‖ key                                    delete
 *              c                                                         clear
 *              r ‖ key length:2 ‖ conditions length:2 ‖ key ‖ conditions  raw get
 *              R, h, D: the same for a raw get with gzip accepted, a raw head, a raw delete
 *              u ‖ key length:2 ‖ value length:4 ‖ options length:2 ‖ key ‖ options ‖ value   raw put
 *     reply    v ‖ length:4 ‖ body            hit
 *              z ‖ length:4 ‖ gzip of body    hit, compressed
 *              m                              miss
 *              s                              stored
 *              t                              too large to be stored
 *              d                              deleted
 *              n ‖ removed:4                  cleared
 *              x                              not text, or too long for JSON: can be read raw only
 *              f                              a condition of the request is not met
 *              A to O ‖ head length:2 ‖ body length:4 ‖ head ‖ body       replies to raw requests
 *              y ‖ code ‖ place:4 ‖ length:4 ‖ head length:2 ‖ head   a hit, JSON or raw, whose body is in the `ReplyMemory`
 *              \x03                           busy: too many reads wait, or its entry changed while it waited
 *              b ‖ length:4 ‖ records         the answer to a client's batch
 *              i ‖ length:4 ‖ records         the same, with failures in it
 *              e                              the answer to the client's batch is full
 *              !                              the engine behind the shard is gone, or has refused the request
 *              l ‖ ticket:4                   the reply follows in a `late` message
 *              w ‖ ticket:4                   the same, once other large replies have reached their clients
 *
 * Numbers are big-endian, one character for each byte. `:4` means four bytes. `raw-entries.ts` says what conditions,
 * options and heads look like.
 */
export const GET = 0x67;
export const GET_GZIP = 0x47;
export const PUT = 0x70;
export const PUT_TTL = 0x50;
export const DELETE = 0x64;
export const CLEAR = 0x63;
export const RAW_GET = 0x72;
export const RAW_GET_GZIP = 0x52;
export const RAW_HEAD = 0x68;
export const RAW_PUT = 0x75;
export const RAW_DELETE = 0x44;

export const HIT = 0x76;
export const HIT_GZIP = 0x7a;
export const MISS = 0x6d;
export const STORED = 0x73;
export const TOO_LARGE = 0x74;
export const DELETED = 0x64;
export const CLEARED = 0x6e;
export const LATE = 0x6c;
export const WAITING = 0x77;
/** A hit whose body lies in the memory that the two threads share. */
export const PLACED = 0x79;
/** A reply that a ticket was given for, among the others. */
export const UNDER_TICKET = 0x22;
/** The value cannot be read as JSON: some of its bytes are not ASCII, or it is longer than a JSON entry may be. */
export const NOT_TEXT = 0x78;
export const PRECONDITION_FAILED = 0x66;
/** The engine behind the shard is gone. It is not known whether it has carried out a write. */
export const TIER_UNAVAILABLE = 0x21;

/**
 * Replies to a `POST /batch`: the records of its answer. Where it is mixed, the status of some is the code of a reply, which
 * says why that request has failed.
 */
export const BATCH_DONE = 0x62;
export const BATCH_MIXED = 0x69;
/** Only within BATCH_MIXED: there is no room left in the answer. */
export const BATCH_FULL = 0x65;

/** Replies to raw requests: all have a head. */
export const RAW_HIT = 0x41;
export const RAW_HIT_GZIP = 0x42;
/** The reply to a raw head: as RAW_HIT, without the body. */
export const RAW_FOUND = 0x43;
export const NOT_MODIFIED = 0x44;
/** Stored, where there was no such entry. The head is that of the new entry. */
export const CREATED = 0x45;
/** Stored in the place of another entry. */
export const REPLACED = 0x46;
/** The value follows in pieces. The body is the number of the read. */
export const LARGE_HIT = 0x47;
const LAST_RAW_REPLY = 0x4f;

export function isRawReply(code: number): boolean {
  return code >= RAW_HIT && code <= LAST_RAW_REPLY;
}

/** Codes that the HTTP thread itself gives when it could not ask the shard, or had no reply in time. */
export const UNAVAILABLE = 1;
export const OVERDUE = 2;
/** The shard's queue is full. The shard itself replies this when too many reads wait for room. */
export const BUSY = 3;

export function encodeGet(key: string, acceptsGzip: boolean): string {
  const length = key.length;
  return String.fromCharCode(acceptsGzip ? GET_GZIP : GET, length >>> 8, length & 0xff) + key;
}

export function encodeDelete(key: string): string {
  return String.fromCharCode(DELETE, key.length >>> 8, key.length & 0xff) + key;
}

export function encodeClear(): string {
  return String.fromCharCode(CLEAR);
}

/** Values and replies of this many bytes or more are handed over. For shorter ones a string is quicker. */
export const HANDED_OVER_BYTES = 2 ** 14;

/** A PUT that will be handed over, before its value is made into bytes. */
export interface UnsentPut {
  readonly key: string;
  readonly value: string | Uint8Array;
  /** 0 for none. */
  readonly ttlMs: number;
  /** What a raw PUT has beside key and value, its ttl too. Absent for one that came as JSON. */
  readonly rawOptions?: string;
}

/** A PUT whose value is handed over. */
export interface LargePut extends Omit<UnsentPut, 'value'> {
  readonly kind: 'put';
  readonly value: ArrayBuffer;
}

/** What one `POST /batch` asks of this shard. */
export interface ClientBatch {
  readonly kind: 'batch';
  /** Version and records of the requests: a string of one-byte characters, or bytes that are handed over. */
  readonly requests: Payload;
}

/** A hit whose body is handed over, or the reply to a `POST /batch`. */
export interface LargeHit {
  readonly kind: 'hit';
  readonly code: number;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Only of a raw entry. */
  readonly head?: string | undefined;
}

/** The body of a hit: text of one-byte characters, or bytes in a buffer of their own that is handed over. */
export type Payload = string | Uint8Array<ArrayBuffer>;

/** Joins parts, in a buffer of their own that can be handed over. */
export function bytesOf(...parts: Parts): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(lengthOf(parts));
  writeParts(bytes, parts);
  return bytes;
}

/** The bytes of a payload: those of a buffer are not copied. */
export function bufferOf(payload: Payload): Buffer {
  if (typeof payload === 'string') return Buffer.from(payload, 'latin1');
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length);
}

/** Frees a payload that nobody uses any more. A string is left to the collector, and shared memory is used again. */
export function freePayload(payload: string | Uint8Array): void {
  if (typeof payload !== 'string' && payload.buffer instanceof ArrayBuffer) free(payload.buffer);
}

/** @param ttlMs 0 for none; whole milliseconds below 2^48. */
export function encodePut(key: string, value: string, ttlMs: number): string {
  const opcode = ttlMs > 0 ? PUT_TTL : PUT;
  const head = String.fromCharCode(opcode, key.length >>> 8, key.length & 0xff) + encodeU32(value.length);
  return ttlMs > 0 ? head + encodeU48(ttlMs) + key + value : head + key + value;
}

/** A raw get, head or delete. @param opcode RAW_GET, RAW_GET_GZIP, RAW_HEAD or RAW_DELETE. */
export function encodeRawRequest(opcode: number, key: string, conditions: string): string {
  return (
    String.fromCharCode(opcode) + encodeU16(key.length) + encodeU16(conditions.length) + key + conditions
  );
}

/** @param value of one-byte characters. */
export function encodeRawPut(key: string, options: string, value: string): string {
  const lengths = encodeU16(key.length) + encodeU32(value.length) + encodeU16(options.length);
  return String.fromCharCode(RAW_PUT) + lengths + key + options + value;
}

/** How far behind its opcode the key of a request begins. */
const KEY_STARTS = new Uint8Array(256).fill(3);
KEY_STARTS[PUT] = 7;
KEY_STARTS[PUT_TTL] = 13;
KEY_STARTS[RAW_PUT] = 9;
for (const opcode of [RAW_GET, RAW_GET_GZIP, RAW_HEAD, RAW_DELETE]) KEY_STARTS[opcode] = 5;

/** Where the key of a request begins. @param opcode of the request, not CLEAR. @param at where the request begins. */
export function keyStart(opcode: number, at: number): number {
  return at + KEY_STARTS[opcode];
}

/** Where the request that begins at `at` ends. */
export function requestEnd(batch: string, at: number): number {
  const opcode = batch.charCodeAt(at);
  if (opcode === CLEAR) return at + 1;
  const keyEnd = keyStart(opcode, at) + decodeU16(batch, at + 1);
  if (opcode === GET || opcode === GET_GZIP || opcode === DELETE) return keyEnd;
  if (opcode === PUT || opcode === PUT_TTL) return keyEnd + decodeU32(batch, at + 3);
  return opcode === RAW_PUT
    ? keyEnd + decodeU16(batch, at + 7) + decodeU32(batch, at + 3)
    : keyEnd + decodeU16(batch, at + 3);
}

/** A reply with a head. */
export function encodeRawReply(code: number, head: string, body: string): string {
  return String.fromCharCode(code) + encodeU16(head.length) + encodeU32(body.length) + head + body;
}

export function encodeU16(number: number): string {
  return String.fromCharCode(number >>> 8, number & 0xff);
}

export function encodeU32(number: number): string {
  return String.fromCharCode(number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff);
}

export function encodeU48(number: number): string {
  const high = Math.floor(number / 2 ** 32);
  return String.fromCharCode(high >>> 8, high & 0xff) + encodeU32(number % 2 ** 32);
}

export function encodeLate(ticket: number): string {
  return String.fromCharCode(LATE) + encodeU32(ticket);
}

export function encodeWaiting(ticket: number): string {
  return String.fromCharCode(WAITING) + encodeU32(ticket);
}

export function decodeU16(text: string, at: number): number {
  return (text.charCodeAt(at) << 8) | text.charCodeAt(at + 1);
}

export function decodeU32(text: string, at: number): number {
  return ((decodeU16(text, at) << 16) | decodeU16(text, at + 2)) >>> 0;
}

export function decodeU48(text: string, at: number): number {
  return decodeU16(text, at) * 2 ** 32 + decodeU32(text, at + 2);
}

export interface ShedResult {
  /** Bytes of live entries evicted by this order. Expired entries and cleared memory, which go first, are not included. */
  readonly shedBytes: number;
  readonly shedEntries: number;
  /** Bytes given back to the system, cleaning included. */
  readonly releasedBytes: number;
  readonly longestSliceMs: number;
}

/** What is known of an entry without reading it. */
export interface EntryFacts {
  readonly valueBytes: number;
  /** All that the entry takes: header, key, value, metadata, gzip form, padding and slot. */
  readonly entryBytes: number;
  /** Until it expires; absent for an entry that does not. */
  readonly ttlMs?: number;
}

/** Payloads of this length or more count against the shard's flow-control window until the client has them. */
export const LARGE_PAYLOAD = 4096;

/** `delivered` is a notice: clients have received large replies of `bytes` in all. */
export type ControlRequest =
  | { readonly kind: 'stats'; readonly id: number; readonly withThread?: boolean }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'inspect'; readonly id: number; readonly key: string }
  | { readonly kind: 'keys'; readonly id: number; readonly prefix: string; readonly cursor: number }
  | { readonly kind: 'delivered'; readonly bytes: number }
  | { readonly kind: 'shed'; readonly id: number; readonly shedBytes: number }
  | SnapshotRequest;

/**
 * `ready`, `late` and `memory` are notices: the first message of a session, the reply that a ticket was given for, and the
 * memory in which replies will be placed.
 */
export type ControlReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'memory'; readonly buffer: SharedArrayBuffer }
  | {
      readonly kind: 'stats';
      readonly id: number;
      readonly stats: ShardStats;
      /** Where it was asked for. */
      readonly thread: ThreadFigures | undefined;
      /** Where there is an engine behind the shard. */
      readonly tier?: TierFigures | undefined;
    }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'inspect'; readonly id: number; readonly entry: EntryFacts | undefined }
  /** Without keys where the engine behind the shards cannot say them. */
  | { readonly kind: 'keys'; readonly id: number; readonly keys?: string[]; readonly cursor?: number }
  | { readonly kind: 'shed'; readonly id: number; readonly result: ShedResult }
  | SnapshotReply
  | {
      readonly kind: 'late';
      readonly ticket: number;
      readonly code: number;
      readonly payload: Payload;
      /** Only of a raw entry. */
      readonly head?: string | undefined;
    };

/**
 * Opens one more session of the shard: the other end of `port` is given to another HTTP thread, which has its own order,
 * replies and tickets there. A session ends when its port closes, whether its thread closes it or dies.
 */
export interface Connect {
  readonly kind: 'connect';
  /** Handed over. The shard says `ready` on it. */
  readonly port: MessagePort;
  /** Made by `forAnotherSession` of the shard's doorbell. */
  readonly doorbell: DoorbellBuffers;
}

/** What a session asks of its shard. */
export type SessionMessage = string | LargePut | ClientBatch | LargeValueMessage | ControlRequest;
export type ToShard = SessionMessage | Connect;
export type FromShard = string | LargeHit | LargeValueReply | ControlReply;
