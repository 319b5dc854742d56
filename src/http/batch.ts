import type { FastifyReply } from 'fastify';
import { ERRORS } from '../api/errors.ts';
import { BATCH_VERSION, RequestRecords, responseEnd, u16At } from '../shared/batch-records.ts';
import {
  BATCH_DONE,
  BATCH_FULL,
  BATCH_MIXED,
  HANDED_OVER_BYTES,
  LARGE_HIT,
  MISS,
  type Payload,
  bufferOf,
  bytesOf,
  freePayload,
} from '../shared/protocol.ts';
import { MIN_STATUS, ResponseRecords } from '../shared/response-records.ts';
import type { PendingRequest } from '../shards/pending-requests.ts';
import type { HttpRouter } from '../shards/router.ts';
import { type BatchPlan, TOO_LARGE_FOR_BATCH } from './batch-plan.ts';
import { type GetOptions, endWith, failureOfReply, followLarge } from './exchanges.ts';
import type { Failure } from './failures.ts';
import { answerHeaders } from './write-answer.ts';

/** How an answer is written. */
export interface BatchForm {
  readonly type: string;
  /** @param answer to the plan, in the binary form. @returns text of one-byte characters, or the same bytes. */
  readonly render: (answer: Payload, plan: BatchPlan) => Payload;
}

export interface BatchOptions extends GetOptions {
  readonly router: HttpRouter;
}

const HIT_STATUS = 200;

const FULL: Failure = {
  code: 'CACHE_ERR_BUSY',
  message: 'The answer to this batch has become too large: ask for this entry again.',
};

/** Answers are put together one at a time. */
const joined = new ResponseRecords();

/**
 * Sends each shard its part of a batch, and answers when the last one has replied. Requests of one key are in order, since
 * they go to one shard in one message.
 */
export class Batch {
  private readonly reply: FastifyReply;
  private readonly options: BatchOptions;
  private readonly form: BatchForm;
  private readonly plan: BatchPlan;
  /** By the number of the shard. */
  private readonly parts: (Part | undefined)[];
  private left = 1;

  constructor(reply: FastifyReply, options: BatchOptions, form: BatchForm, plan: BatchPlan) {
    reply.hijack();
    this.reply = reply;
    this.options = options;
    this.form = form;
    this.plan = plan;
    this.parts = options.router.shards.map(() => undefined);
  }

  run(): void {
    const { size, failures } = this.plan;
    if (this.parts.length === 1 && size > 0 && failures.size === 0) this.sendWhole();
    else this.sendParts();
    this.partSettled();
  }

  /** The last part to settle answers. */
  partSettled(): void {
    this.left--;
    if (this.left > 0) return;
    const [first] = this.parts;
    const isWhole = this.parts.length === 1 && this.plan.failures.size === 0 && first?.code === BATCH_DONE;
    this.answer(isWhole ? first.records! : this.join());
  }

  private sendWhole(): void {
    const { bytes, size } = this.plan;
    const requests = bytes.length < HANDED_OVER_BYTES ? bytes.toString('latin1') : bytesOf(bytes);
    // A client with one request at a time may be alone. Nobody busy-waits for one with more of them: it has work meanwhile.
    this.send(0, requests, size, size === 1 ? this.reply.raw.req.socket : this);
  }

  private sendParts(): void {
    const { bytes } = this.plan;
    const counts = this.parts.map(() => 0);
    const ends = this.parts.map(() => 1);
    this.forEachSent((shard, { start, valueEnd }) => {
      counts[shard]++;
      ends[shard] += valueEnd - start;
    });
    const requests = ends.map((end) => Buffer.allocUnsafeSlow(end));
    ends.fill(1);
    this.forEachSent((shard, { start, valueEnd }) => {
      bytes.copy(requests[shard], ends[shard], start, valueEnd);
      ends[shard] += valueEnd - start;
    });
    for (const [shard, count] of counts.entries()) {
      requests[shard][0] = BATCH_VERSION;
      if (count > 0) this.send(shard, requests[shard], count, this);
    }
  }

  /** Goes through the requests that do not fail without their shard. */
  private forEachSent(visit: (shard: number, record: RequestRecords) => void): void {
    const { bytes, shards, failures } = this.plan;
    const records = new RequestRecords(bytes);
    for (let place = 0; records.next(); place++)
      if (!failures.has(place)) visit(shards?.[place] ?? 0, records);
  }

  private send(shard: number, requests: Payload, size: number, connection: object): void {
    const part = new Part(this, connection);
    this.parts[shard] = part;
    this.left++;
    this.options.router.sendBatch(shard, requests, size, part, this.plan.hasWrites ? 'write' : 'read');
  }

  /** Puts the answer together, in the order of the requests. */
  private join(): Payload {
    const { size, shards, failures } = this.plan;
    const places = this.parts.map(() => 1);
    const replies = this.parts.map((part) => part?.records && bufferOf(part.records));
    joined.begin();
    for (let place = 0; place < size; place++) {
      const failure = failures.get(place);
      if (failure) {
        addFailure(failure);
        continue;
      }
      const shard = shards?.[place] ?? 0;
      const records = replies[shard];
      if (records) places[shard] = addRecord(records, places[shard]);
      else addFailure(failureOfReply(this.parts[shard]!.code));
    }
    for (const part of this.parts) if (part?.records) freePayload(part.records);
    return joined.take();
  }

  private answer(records: Payload): void {
    const { form, options } = this;
    const response = this.reply.raw;
    const answer = form.render(records, this.plan);
    if (answer !== records) freePayload(records);
    const delivered = this.parts.flatMap((part) => part?.delivered ?? []);
    if (delivered.length > 0) {
      followLarge(response, answer, () => delivered.forEach((tell) => tell()), options);
    }
    if (response.destroyed) return;
    response.writeHead(200, 'OK', answerHeaders(form.type, answer.length));
    endWith(response, answer);
  }
}

/** Adds the record that begins at `start` of a shard's reply. @returns where the next one begins. */
function addRecord(records: Buffer, start: number): number {
  const end = responseEnd(records, start);
  const status = u16At(records, start);
  if (status < MIN_STATUS) addFailure(failureOfCode(status));
  else if (status === HIT_STATUS && !joined.hasRoomFor(end - start)) addFailure(FULL);
  else joined.addRecord(records, start, end);
  return end;
}

function failureOfCode(code: number): Failure {
  if (code === BATCH_FULL) return FULL;
  return code === LARGE_HIT ? TOO_LARGE_FOR_BATCH : failureOfReply(code);
}

function addFailure({ code, message }: Failure): void {
  joined.addError(ERRORS[code], `${code} ${message}`);
}

/** What one shard is asked, and what it has replied. */
class Part implements PendingRequest {
  readonly connection: object;
  code = MISS;
  records: Payload | undefined;
  delivered: (() => void) | undefined;
  private readonly batch: Batch;

  constructor(batch: Batch, connection: object) {
    this.batch = batch;
    this.connection = connection;
  }

  settle(code: number, payload: Payload, delivered?: () => void): void {
    this.code = code;
    if (code === BATCH_DONE || code === BATCH_MIXED) this.records = payload;
    this.delivered = delivered;
    this.batch.partSettled();
  }
}
