import type { FastifyReply } from 'fastify';
import {
  CREATED,
  DELETED,
  LARGE_HIT,
  type Payload,
  RAW_FOUND,
  RAW_HIT,
  REPLACED,
  freePayload,
} from '../shared/protocol.ts';
import { type EntryHead, NO_CONDITIONS, type PutOptions, decodeHead } from '../shared/raw-entries.ts';
import type { LargeRead } from '../shards/large-read.ts';
import type { PendingRequest } from '../shards/pending-requests.ts';
import type { ShardRouter } from '../shards/router.ts';
import { endWith, failureOfReply } from './exchanges.ts';
import type { Failure } from './failures.ts';
import { type Account, accountOf } from './intake/account.ts';
import { whenClosed } from './intake/when-closed.ts';
import { answerHeaders } from './write-answer.ts';

/** One request of a batch. */
export type BatchItem =
  | { readonly method: 'GET' | 'HEAD' | 'DELETE'; readonly key: string }
  | { readonly method: 'PUT'; readonly key: string; readonly value: Buffer; readonly put: PutOptions }
  /** It is not valid: it fails alone. */
  | { readonly method: 'NONE'; readonly failure: Failure };

/** How the results of a batch are written. Texts are of one-byte characters. */
export interface BatchForm {
  readonly type: string;
  readonly hit: (head: EntryHead, value: string) => string;
  readonly found: (head: EntryHead) => string;
  readonly stored: (isNew: boolean, head: EntryHead) => string;
  readonly deleted: () => string;
  readonly failed: (failure: Failure) => string;
  readonly join: (results: readonly string[]) => string;
}

/** Hits beyond this many bytes are refused: the client asks for them again. */
const MAX_REPLY_BYTES = 4 * 2 ** 20;

const FULL: Failure = {
  code: 'CACHE_ERR_BUSY',
  message: 'The answer to this batch has become too large: ask for this entry again.',
};
const TOO_LARGE_FOR_BATCH: Failure = {
  code: 'CACHE_ERR_VALUE_TOO_LARGE',
  message: 'value has more than 1 MiB: such entries are stored and read at /kv/{key}.',
};

/**
 * Carries out the requests of a batch, and answers when the last shard has. Requests of one key are in order, since they go
 * to one shard by one mailbox.
 */
export class Batch {
  private readonly reply: FastifyReply;
  private readonly router: ShardRouter;
  private readonly form: BatchForm;
  private readonly account: Account | undefined;
  private readonly results: string[];
  private left: number;
  private heldBytes = 0;

  constructor(reply: FastifyReply, router: ShardRouter, form: BatchForm, size: number) {
    reply.hijack();
    this.reply = reply;
    this.router = router;
    this.form = form;
    this.account = accountOf(reply.raw.req.socket);
    this.results = Array.from({ length: size });
    this.left = size;
    whenClosed(reply.raw, () => this.account?.release('bodyBytes', this.heldBytes));
  }

  run(items: readonly BatchItem[]): void {
    if (items.length === 0) this.answer();
    for (const [place, item] of items.entries()) this.start(place, item);
  }

  private start(place: number, item: BatchItem): void {
    const { router, form } = this;
    const pending = new BatchRequest(this, place);
    switch (item.method) {
      case 'GET':
        router.getRaw(item.key, false, NO_CONDITIONS, pending);
        break;
      case 'HEAD':
        router.headRaw(item.key, NO_CONDITIONS, pending);
        break;
      case 'DELETE':
        router.delete(item.key, pending);
        break;
      case 'PUT':
        if (router.takesWhole(item.key, item.value.length))
          router.putRaw(item.key, item.value, item.put, pending);
        else this.settle(place, form.failed(TOO_LARGE_FOR_BATCH));
        break;
      case 'NONE':
        this.settle(place, form.failed(item.failure));
    }
  }

  /** @param head of replies that have one. */
  take(place: number, code: number, payload: Payload, head: string | undefined): void {
    this.settle(place, this.resultOf(code, payload, head));
  }

  private resultOf(code: number, payload: Payload, head: string | undefined): string {
    const { form } = this;
    if (code === DELETED) return form.deleted();
    if (code === LARGE_HIT) return form.failed(TOO_LARGE_FOR_BATCH);
    if (head === undefined) return form.failed(failureOfReply(code));
    if (code === RAW_FOUND) return form.found(decodeHead(head));
    if (code === CREATED || code === REPLACED) return form.stored(code === CREATED, decodeHead(head));
    if (code !== RAW_HIT) return form.failed(failureOfReply(code));
    if (!this.hasRoomFor(payload.length)) return form.failed(FULL);
    const value =
      typeof payload === 'string'
        ? payload
        : Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1');
    return form.hit(decodeHead(head), value);
  }

  /** Values are held until the answer has left. */
  private hasRoomFor(bytes: number): boolean {
    if (this.heldBytes + bytes > MAX_REPLY_BYTES) return false;
    if (this.account?.charge('bodyBytes', bytes) === false) {
      this.account.release('bodyBytes', bytes);
      return false;
    }
    this.heldBytes += bytes;
    return true;
  }

  private settle(place: number, result: string): void {
    this.results[place] = result;
    this.left--;
    if (this.left === 0) this.answer();
  }

  private answer(): void {
    const response = this.reply.raw;
    if (response.destroyed) return;
    const text = this.form.join(this.results);
    response.writeHead(200, 'OK', answerHeaders(this.form.type, text.length));
    endWith(response, text);
  }
}

/** Waits for the reply to one request of a batch. */
class BatchRequest implements PendingRequest {
  /** A batch is no client that waits for one thing after the other. */
  readonly connection = undefined;
  private readonly batch: Batch;
  private readonly place: number;

  constructor(batch: Batch, place: number) {
    this.batch = batch;
    this.place = place;
  }

  settle(code: number, payload: Payload, delivered?: () => void, head?: string, largeRead?: LargeRead): void {
    largeRead?.cancel();
    this.batch.take(this.place, code, payload, head);
    // Its bytes have been copied.
    if (!delivered) return;
    freePayload(payload);
    delivered();
  }
}
