import {
  DELETE,
  GET,
  HAS_TAG,
  HEAD,
  MAX_BATCH_BYTES,
  PUT,
  RequestRecords,
} from '../../src/shared/batch-records.ts';
import {
  BATCH_DONE,
  BATCH_FULL,
  BATCH_MIXED,
  BUSY,
  CREATED,
  DELETED,
  MISS,
  type Payload,
  REPLACED,
  bufferOf,
  freePayload,
} from '../../src/shared/protocol.ts';
import { NO_CONDITIONS } from '../../src/shared/raw-entries.ts';
import { MIN_STATUS, ResponseRecords } from '../../src/shared/response-records.ts';
import { type ClientBatches, putOptionsOf } from '../client-batches.ts';
import { NO_SLOT, type SegmentStore } from '../store/segment-store.ts';
import type { NearCache } from './near-cache.ts';

/** Answers are put together one at a time. */
const answers = new ResponseRecords();
const NOT_FOUND = 404;

/** Whether all requests of a batch are reads of entries that have copies. */
export function isNear(store: SegmentStore, requests: Payload): boolean {
  const bytes = bufferOf(requests);
  const records = new RequestRecords(bytes);
  while (records.next()) {
    if (records.method !== GET && records.method !== HEAD) return false;
    if (store.peek(bytes.toString('latin1', records.keyStart, records.keyEnd)) === NO_SLOT) return false;
  }
  return true;
}

/** Carries out a client's batch of which some requests need the engine. They go there together. */
export class TierBatch {
  private readonly near: NearCache;
  private readonly store: SegmentStore;
  private readonly clientBatches: ClientBatches;
  /** The record of each request's answer, in an answer of its own. */
  private readonly records: Buffer[] = [];
  private bytes = 0;
  private left = 1;
  private onEnd: (code: number, records: Payload) => void = () => undefined;

  constructor(near: NearCache, store: SegmentStore, clientBatches: ClientBatches) {
    this.near = near;
    this.store = store;
    this.clientBatches = clientBatches;
  }

  /** @param requests are freed. @param onEnd called with the reply when all have been carried out. */
  run(requests: Payload, onEnd: (code: number, records: Payload) => void): void {
    this.onEnd = onEnd;
    const bytes = bufferOf(requests);
    const records = new RequestRecords(bytes);
    for (let place = 0; records.next(); place++) {
      this.left++;
      this.start(place, records, bytes.toString('latin1', records.keyStart, records.keyEnd), bytes);
    }
    freePayload(requests);
    this.settle();
  }

  private start(place: number, record: RequestRecords, key: string, bytes: Buffer): void {
    const { near } = this;
    const { method } = record;
    const wantsTag = (record.flags & HAS_TAG) !== 0;
    if (method !== PUT && method !== DELETE) {
      this.get(place, key, method === HEAD, wantsTag);
      return;
    }
    const value = bytes.subarray(record.keyEnd, record.valueEnd);
    if (!near.hasRoomFor(value.length)) {
      this.fail(place, BUSY);
    } else if (method === DELETE) {
      near.delete(key, NO_CONDITIONS, (code) => {
        if (code === DELETED) this.take(place, bare(204));
        else this.fail(place, code);
      });
    } else {
      const { ttlMs, conditions, ...texts } = putOptionsOf(record);
      near.put(key, value, { texts, ttlMs, conditions }, (code, tag) => {
        if (code !== CREATED && code !== REPLACED) this.fail(place, code);
        else this.take(place, stored(code === CREATED ? 201 : 204, wantsTag ? tag : ''));
      });
    }
  }

  private get(place: number, key: string, isHead: boolean, wantsTag: boolean): void {
    const { near, store, clientBatches } = this;
    const answer = (slot: number): void => {
      if (slot === NO_SLOT) this.fail(place, MISS);
      else this.take(place, bufferOf(clientBatches.recordOf(slot, isHead, wantsTag)));
    };
    const slot = store.access(key);
    if (slot !== NO_SLOT) answer(slot);
    else if (!near.hasRoomFor(0)) this.fail(place, BUSY);
    else near.get(key, { found: () => answer(store.peek(key)), refuse: (code) => this.fail(place, code) });
  }

  private fail(place: number, code: number): void {
    this.take(place, bare(code === MISS ? NOT_FOUND : code));
  }

  private take(place: number, record: Buffer): void {
    const hasRoom = this.bytes + record.length <= MAX_BATCH_BYTES;
    this.records[place] = hasRoom ? record : bare(BATCH_FULL);
    this.bytes += this.records[place].length;
    this.settle();
  }

  /** The last one to settle answers. */
  private settle(): void {
    this.left--;
    if (this.left > 0) return;
    answers.begin();
    for (const record of this.records) answers.addRecord(record, 1, record.length);
    const hasFailures = this.records.some((record) => record.readUInt16BE(1) < MIN_STATUS);
    this.onEnd(hasFailures ? BATCH_MIXED : BATCH_DONE, answers.take());
  }
}

/** @param status or the code of a failure. */
function bare(status: number): Buffer {
  answers.begin();
  answers.addBare(status);
  return bufferOf(answers.take());
}

function stored(status: number, tag: string): Buffer {
  if (tag === '') return bare(status);
  answers.begin();
  answers.addHead(status, HAS_TAG, 0);
  answers.addShort(`"${tag}"`);
  return bufferOf(answers.take());
}
