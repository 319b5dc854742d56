import type { FastifyReply } from 'fastify';
import type { ServerResponse } from 'node:http';
import {
  BUSY,
  DELETED,
  HIT,
  HIT_GZIP,
  MISS,
  NOT_TEXT,
  OVERDUE,
  PRECONDITION_FAILED,
  STORED,
  TIER_UNAVAILABLE,
  TOO_LARGE,
  UNAVAILABLE,
  freePayload,
} from '../shared/protocol.ts';
import type { ReplyPayload } from '../shared/reply-memory.ts';
import { type Answer, jsonHeaders, renderAnswer, varyByEncoding, writeAnswer } from './write-answer.ts';
import { type Failure, renderFailure } from './failures.ts';
import { isWaitingForTurn } from './fast/node-internals.ts';
import type { GarbageMeter } from './garbage-meter.ts';
import type { PendingRequest } from '../shards/pending-requests.ts';
import { accountOf } from './intake/account.ts';
import type { LargeReplies } from './intake/large-replies.ts';
import { noteRefusal } from '../metrics/traffic.ts';

const FAILURES: Readonly<Record<number, Failure>> = {
  [MISS]: { code: 'CACHE_ERR_KEY_NOT_FOUND', message: 'Key not found.' },
  [TOO_LARGE]: {
    code: 'CACHE_ERR_VALUE_TOO_LARGE',
    message: 'value does not fit in the memory limit of one shard.',
  },
  [NOT_TEXT]: {
    code: 'CACHE_ERR_VALUE_NOT_TEXT',
    message: 'The value is not ASCII, or too long for JSON: it can be read at /kv/{key}.',
  },
  [PRECONDITION_FAILED]: {
    code: 'CACHE_ERR_PRECONDITION_FAILED',
    message: 'If-Match or If-None-Match is not met.',
  },
  [UNAVAILABLE]: {
    code: 'CACHE_ERR_SHARD_UNAVAILABLE',
    message: 'The shard of this key is restarting.',
    refusal: 'shard_unavailable',
  },
  [OVERDUE]: {
    code: 'CACHE_ERR_SHARD_DEADLINE',
    message: 'The shard of this key did not answer in time.',
    refusal: 'shard_deadline',
  },
  [TIER_UNAVAILABLE]: {
    code: 'CACHE_ERR_TIER_UNAVAILABLE',
    message: 'The engine behind the cache is gone, or has refused the request.',
    refusal: 'tier_unavailable',
  },
  [BUSY]: {
    code: 'CACHE_ERR_SHARD_BUSY',
    message: 'The shard of this key has too many requests in flight, or no room that it could free now.',
    refusal: 'shard_busy',
  },
};
const UNEXPECTED: Failure = { code: 'CACHE_ERR_INTERNAL', message: 'Unexpected error.' };

/** What the client learns of a reply that is no success. */
export function failureOfReply(code: number): Failure {
  return FAILURES[code] ?? UNEXPECTED;
}

const rendered = ({ code, message }: Failure): Answer => renderFailure(code, message);
const ANSWERS = new Map(Object.entries(FAILURES).map(([code, failure]) => [Number(code), rendered(failure)]));
const UNEXPECTED_ANSWER = rendered(UNEXPECTED);

const STORED_MESSAGE = { status: 'OK', message: 'Key inserted/updated successfully.' };
const CREATED = renderAnswer(201, STORED_MESSAGE);
const UPDATED = renderAnswer(200, STORED_MESSAGE);

export function writeFailure(response: ServerResponse, code: number): void {
  const refusal = FAILURES[code]?.refusal;
  if (refusal !== undefined) noteRefusal(response, refusal);
  writeAnswer(response, ANSWERS.get(code) ?? UNEXPECTED_ANSWER);
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
export abstract class Exchange implements PendingRequest {
  readonly connection: object;
  protected readonly response: ServerResponse;

  constructor(reply: FastifyReply) {
    reply.hijack();
    this.response = reply.raw;
    this.connection = this.response.req.socket;
  }

  abstract settle(...reply: Parameters<PendingRequest['settle']>): void;
}

/** Waits for the answer to a GET. */
export class GetExchange extends Exchange {
  private readonly options: GetOptions;

  constructor(reply: FastifyReply, options: GetOptions) {
    super(reply);
    this.options = options;
  }

  settle(code: number, payload: ReplyPayload, delivered?: () => void): void {
    if (delivered) followLarge(this.response, payload, delivered, this.options);
    if (code !== HIT && code !== HIT_GZIP) {
      writeFailure(this.response, code);
      return;
    }
    const { gzipThresholdBytes } = this.options;
    const headers = jsonHeaders(payload.length);
    if (code === HIT_GZIP) {
      headers.push('content-encoding', 'gzip', 'vary', varyByEncoding(this.response));
    } else if (gzipThresholdBytes > 0 && payload.length > gzipThresholdBytes) {
      headers.push('vary', varyByEncoding(this.response));
    }
    const { response } = this;
    response.writeHead(200, 'OK', headers);
    endWith(response, payload);
  }
}

/** Follows a large reply until its client has it, or is gone. */
export function followLarge(
  response: ServerResponse,
  payload: ReplyPayload,
  delivered: () => void,
  { largeReplies, garbage }: GetOptions,
): void {
  largeReplies.begin(response, () => {
    // No write uses the payload any more: a response closes when all is written, or after its socket.
    freePayload(payload);
    if (typeof payload === 'string') garbage.add(payload.length);
    delivered();
  });
}

/** Writes the body of an answer. */
export function endWith(response: ServerResponse, payload: ReplyPayload): void {
  if (typeof payload !== 'string') response.end(payload);
  else if (isHeld(response)) {
    response.end(ownCopy(payload), 'latin1');
    accountOf(response.req.socket)?.hold(response, payload.length);
  } else {
    response.end(payload, 'latin1');
  }
}

/** Whether its text stays in memory for now: it waits for its turn, or for the client to take earlier answers. */
export function isHeld(response: ServerResponse): boolean {
  return isWaitingForTurn(response) || response.socket!.writableLength > 0;
}

/** A slice keeps the whole string alive: here all replies of the batch. */
export function ownCopy(piece: string): string {
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
