import {
  CREATE_ONLY,
  DELETE,
  HAS_ENCODING,
  HAS_TAG,
  HAS_TTL,
  HAS_TYPE,
  HEAD,
  IS_TEXT,
  PUT,
  RequestRecords,
} from '../src/shared/batch-records.ts';
import {
  BATCH_DONE,
  BATCH_FULL,
  BATCH_MIXED,
  BUSY,
  CREATED,
  LARGE_HIT,
  LARGE_PAYLOAD,
  type Payload,
  REPLACED,
  bufferOf,
  freePayload,
} from '../src/shared/protocol.ts';
import { DEFAULT_TYPE, NO_CONDITIONS, type PutOptions } from '../src/shared/raw-entries.ts';
import { ResponseRecords } from '../src/shared/response-records.ts';
import type { RawWrites } from './raw-writes.ts';
import { tagOfEntry } from './reads/entity-tag.ts';
import type { Reads } from './reads/reads.ts';
import type { Session } from './session.ts';
import { AHEAD_KEYS, NO_SLOT, type SegmentStore } from './store/segment-store.ts';

const CREATES_ONLY = { ifNoneMatch: '*' } as const;
const NO_HEADERS = ['', ''] as const;

/**
 * Carries out what one `POST /batch` asks of this shard, and writes the records of the answer as its client will get them.
 * So there is one message and one buffer for each batch and direction, however many requests there are.
 */
export class ClientBatches {
  private readonly store: SegmentStore;
  private readonly reads: Reads;
  private readonly writes: RawWrites;
  private readonly answer = new ResponseRecords();
  /** Of the requests that are read ahead for. */
  private readonly keys: string[] = [];

  constructor(store: SegmentStore, reads: Reads, writes: RawWrites) {
    this.store = store;
    this.reads = reads;
    this.writes = writes;
  }

  /** @param requests which the main thread has checked. They are freed. */
  run(session: Session, requests: Payload): void {
    const { answer, keys } = this;
    const bytes = bufferOf(requests);
    const records = new RequestRecords(bytes);
    const ahead = new RequestRecords(bytes);
    answer.begin();
    for (let known = this.readAhead(bytes, ahead); known > 0; known = this.readAhead(bytes, ahead)) {
      for (let i = 0; i < known; i++) {
        records.next();
        this.carryOut(records, keys[i], bytes);
      }
    }
    freePayload(requests);
    this.reads.sendBatch(session, answer.hasFailures ? BATCH_MIXED : BATCH_DONE, answer.take());
  }

  /** Reads ahead for the next requests, and leaves their keys in `keys`. @returns how many there are. */
  private readAhead(bytes: Buffer, records: RequestRecords): number {
    const { keys, store } = this;
    let count = 0;
    while (count < AHEAD_KEYS && records.next()) {
      keys[count++] = bytes.toString('latin1', records.keyStart, records.keyEnd);
    }
    if (count > 1) {
      for (let i = 0; i < count; i++) store.announce(keys[i]);
      store.readAnnounced();
    }
    return count;
  }

  private carryOut(record: RequestRecords, key: string, bytes: Buffer): void {
    const { method } = record;
    if (method === PUT) this.put(record, key, bytes);
    else if (method === DELETE) this.delete(key);
    else this.get(key, method === HEAD, (record.flags & HAS_TAG) !== 0);
  }

  private get(key: string, isHead: boolean, wantsTag: boolean): void {
    const { store, answer } = this;
    const slot = store.access(key);
    if (slot === NO_SLOT) {
      answer.addBare(404);
      return;
    }
    this.addFound(slot, isHead, wantsTag);
  }

  /** An answer of one record, that of an entry. */
  recordOf(slot: number, isHead: boolean, wantsTag: boolean): Payload {
    this.answer.begin();
    this.addFound(slot, isHead, wantsTag);
    return this.answer.take();
  }

  private addFound(slot: number, isHead: boolean, wantsTag: boolean): void {
    const { store, answer } = this;
    const valueBytes = isHead ? 0 : store.valueBytes(slot);
    if (!isHead && store.chainOf(slot)) answer.addFailure(LARGE_HIT);
    else if (!answer.hasRoomFor(valueBytes)) answer.addFailure(BATCH_FULL);
    else if (valueBytes >= LARGE_PAYLOAD && !this.reads.hasRoom) answer.addFailure(BUSY);
    else this.addEntry(slot, isHead, wantsTag, valueBytes);
  }

  private addEntry(slot: number, isHead: boolean, wantsTag: boolean, valueBytes: number): void {
    const { store, answer } = this;
    const metadata = store.metadata(slot);
    const { contentType, contentEncoding } = metadata;
    const ttlMs = store.ttlMs(slot);
    const hasType = contentType !== '' && contentType !== DEFAULT_TYPE;
    const flags =
      (ttlMs === undefined ? 0 : HAS_TTL) |
      (contentType === '' ? IS_TEXT : 0) |
      (hasType ? HAS_TYPE : 0) |
      (contentEncoding === '' ? 0 : HAS_ENCODING) |
      (wantsTag ? HAS_TAG : 0);
    answer.addHead(200, flags, valueBytes);
    if (ttlMs !== undefined) answer.addDouble(Math.max(1, Math.floor(ttlMs)) / 1000);
    if (hasType) answer.addShort(contentType);
    if (contentEncoding !== '') answer.addShort(contentEncoding);
    if (wantsTag) answer.addShort(`"${tagOfEntry(store, slot, metadata)}"`);
    if (!isHead) store.copyValue(slot, answer.buffer, answer.skip(valueBytes));
  }

  private put(record: RequestRecords, key: string, bytes: Buffer): void {
    const { flags } = record;
    const value = bytes.subarray(record.keyEnd, record.valueEnd);
    const { code, tag } = this.writes.store(key, value, putOptionsOf(record), (flags & HAS_TAG) !== 0);
    const status = code === CREATED ? 201 : 204;
    if (code !== CREATED && code !== REPLACED) this.answer.addFailure(code);
    else if ((flags & HAS_TAG) === 0) this.answer.addBare(status);
    else {
      this.answer.addHead(status, HAS_TAG, 0);
      this.answer.addShort(`"${tag}"`);
    }
  }

  private delete(key: string): void {
    this.reads.settle(key);
    this.answer.addBare(this.store.delete(key) ? 204 : 404);
  }
}

/** What a PUT of a batch is stored with. */
export function putOptionsOf(record: RequestRecords): PutOptions {
  const { flags } = record;
  return {
    ttlMs: flags & HAS_TTL ? Math.ceil(record.ttl * 1000) : 0,
    contentType: record.contentType || (flags & IS_TEXT ? '' : DEFAULT_TYPE),
    contentEncoding: record.contentEncoding,
    headers: NO_HEADERS,
    conditions: flags & CREATE_ONLY ? CREATES_ONLY : NO_CONDITIONS,
  };
}
