import type { FastifyReply } from 'fastify';
import type { ServerResponse } from 'node:http';
import {
  BUSY,
  DELETED,
  HIT,
  HIT_GZIP,
  MISS,
  OVERDUE,
  type Payload,
  STORED,
  TOO_LARGE,
  UNAVAILABLE,
  freePayload,
} from '../shared/protocol.ts';
import { type Answer, jsonHeaders, renderAnswer, writeAnswer } from './write-answer.ts';
import { renderFailure } from './failures.ts';
import { isWaitingForTurn } from './fast/node-internals.ts';
import type { GarbageMeter } from './garbage-meter.ts';
import type { PendingRequest } from '../shards/pending-requests.ts';
import { accountOf } from './intake/account.ts';
import type { LargeReplies } from './intake/large-replies.ts';
import type { Refusal } from '../metrics/refusals.ts';
import { noteRefusal } from '../metrics/traffic.ts';

const FAILURES: Readonly<Record<number, Answer>> = {
  [MISS]: renderFailure('CACHE_ERR_KEY_NOT_FOUND', 'Key not found.'),
  [TOO_LARGE]: renderFailure(
    'CACHE_ERR_VALUE_TOO_LARGE',
    'value does not fit in the memory limit of one shard.',
  ),
  [UNAVAILABLE]: renderFailure('CACHE_ERR_SHARD_UNAVAILABLE', 'The shard of this key is restarting.'),
  [OVERDUE]: renderFailure('CACHE_ERR_SHARD_DEADLINE', 'The shard of this key did not answer in time.'),
  [BUSY]: renderFailure('CACHE_ERR_SHARD_BUSY', 'The shard of this key has too many requests in flight.'),
};
const REFUSALS: Readonly<Record<number, Refusal | undefined>> = {
  [UNAVAILABLE]: 'shard_unavailable',
  [OVERDUE]: 'shard_deadline',
  [BUSY]: 'shard_busy',
};
const UNEXPECTED = renderFailure('CACHE_ERR_INTERNAL', 'Unexpected error.');

const STORED_MESSAGE = { status: 'OK', message: 'Key inserted/updated successfully.' };
const CREATED = renderAnswer(201, STORED_MESSAGE);
const UPDATED = renderAnswer(200, STORED_MESSAGE);

export function writeFailure(response: ServerResponse, code: number): void {
  const refusal = REFUSALS[code];
  if (refusal !== undefined) noteRefusal(response, refusal);
  writeAnswer(response, FAILURES[code] ?? UNEXPECTED);
}

export interface GetOptions {
  readonly gzipThresholdBytes: number;
  readonly largeReplies: LargeReplies;
  /** Counts large replies that have become garbage. */
  readonly garbage: GarbageMeter;
}

/**
 * Waits for the reply of a shard, and writes it straight to Node's response, past Fastify. So the body that the shard has
 * made is not parsed, built or copied again.
 */
abstract class Exchange implements PendingRequest {
  readonly connection: object;
  protected readonly response: ServerResponse;

  constructor(reply: FastifyReply) {
    reply.hijack();
    this.response = reply.raw;
    this.connection = this.response.req.socket;
  }

  abstract settle(code: number, payload: Payload, delivered?: () => void): void;
}

/** Waits for the answer to a GET. */
export class GetExchange extends Exchange {
  private readonly options: GetOptions;

  constructor(reply: FastifyReply, options: GetOptions) {
    super(reply);
    this.options = options;
  }

  settle(code: number, payload: Payload, delivered?: () => void): void {
    if (delivered) {
      this.options.largeReplies.begin(this.response, () => {
        // No write uses the payload any more: a response closes when all is written, or after its socket.
        freePayload(payload);
        if (typeof payload === 'string') this.options.garbage.add(payload.length);
        delivered();
      });
    }
    if (code !== HIT && code !== HIT_GZIP) {
      writeFailure(this.response, code);
      return;
    }
    const { gzipThresholdBytes } = this.options;
    const headers = jsonHeaders(payload.length);
    if (code === HIT_GZIP) {
      headers.push('content-encoding', 'gzip', 'vary', 'accept-encoding');
    } else if (gzipThresholdBytes > 0 && payload.length > gzipThresholdBytes) {
      headers.push('vary', 'accept-encoding');
    }
    const { response } = this;
    response.writeHead(200, 'OK', headers);
    if (typeof payload !== 'string') response.end(payload);
    else if (isHeld(response)) {
      response.end(ownCopy(payload), 'latin1');
      accountOf(response.req.socket)?.hold(response, payload.length);
    } else {
      response.end(payload, 'latin1');
    }
  }
}

/** Whether its text stays in memory for now: it waits for its turn, or for the client to take earlier answers. */
function isHeld(response: ServerResponse): boolean {
  return isWaitingForTurn(response) || response.socket!.writableLength > 0;
}

/** A slice keeps the whole string alive: here all replies of the batch. */
function ownCopy(piece: string): string {
  return Buffer.from(piece, 'latin1').toString('latin1');
}

/** Waits for the answer to a PUT, which differs between the two families of paths. */
export class PutExchange extends Exchange {
  private readonly success: Answer;

  constructor(reply: FastifyReply, status: 200 | 201) {
    super(reply);
    this.success = status === 201 ? CREATED : UPDATED;
  }

  settle(code: number): void {
    if (code === STORED) writeAnswer(this.response, this.success);
    else writeFailure(this.response, code);
  }
}

export class DeleteExchange extends Exchange {
  settle(code: number): void {
    if (code === DELETED) {
      this.response.writeHead(204);
      this.response.end();
    } else {
      writeFailure(this.response, code);
    }
  }
}
