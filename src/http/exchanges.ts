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
import {
  type ConstantAnswer,
  constantAnswer,
  constantFailure,
  jsonHeaders,
  writeAnswer,
} from './constant-answers.ts';
import type { GarbageMeter } from '../base/garbage-meter.ts';
import type { PendingRequest } from '../shards/pending-requests.ts';
import type { Connections } from './connections.ts';
import type { LargeReplies } from './large-replies.ts';
import type { Refusal } from '../metrics/refusals.ts';
import { noteRefusal } from '../metrics/traffic.ts';

const FAILURES: Readonly<Record<number, ConstantAnswer>> = {
  [MISS]: constantFailure('CACHE_ERR_KEY_NOT_FOUND', 'Key not found.'),
  [TOO_LARGE]: constantFailure(
    'CACHE_ERR_VALUE_TOO_LARGE',
    'value does not fit in the memory limit of one shard.',
  ),
  [UNAVAILABLE]: constantFailure('CACHE_ERR_SHARD_UNAVAILABLE', 'The shard of this key is restarting.'),
  [OVERDUE]: constantFailure('CACHE_ERR_SHARD_DEADLINE', 'The shard of this key did not answer in time.'),
  [BUSY]: constantFailure('CACHE_ERR_SHARD_BUSY', 'The shard of this key has too many requests in flight.'),
};
const REFUSALS: Readonly<Record<number, Refusal | undefined>> = {
  [UNAVAILABLE]: 'shard_unavailable',
  [OVERDUE]: 'shard_deadline',
  [BUSY]: 'shard_busy',
};
const UNEXPECTED = constantFailure('CACHE_ERR_INTERNAL', 'Unexpected error.');

const STORED_MESSAGE = { status: 'OK', message: 'Key inserted/updated successfully.' };
const CREATED = constantAnswer(201, STORED_MESSAGE);
const UPDATED = constantAnswer(200, STORED_MESSAGE);

export function writeFailure(response: ServerResponse, code: number): void {
  const refusal = REFUSALS[code];
  if (refusal !== undefined) noteRefusal(response, refusal);
  writeAnswer(response, FAILURES[code] ?? UNEXPECTED);
}

export interface GetOptions {
  readonly gzipThresholdBytes: number;
  readonly largeReplies: LargeReplies;
  readonly connections: Connections;
  /** Told of large replies that nobody holds any more. */
  readonly garbage: GarbageMeter;
}

/**
 * Waits for what a shard replies, and answers with it past Fastify, straight to Node's response: a body that a shard has
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
        // Nothing of it is being written any more: a response closes when all has been, or after its socket.
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
      this.options.connections.hold(response, payload.length);
    } else {
      response.end(payload, 'latin1');
    }
  }
}

/** What it writes is kept until its turn comes, or until the client has taken what was written before. */
function isHeld({ socket }: ServerResponse): boolean {
  return socket === null || socket.writableLength > 0;
}

/** A piece of a string holds the whole of it: here all replies that came in the same batch. */
function ownCopy(piece: string): string {
  return Buffer.from(piece, 'latin1').toString('latin1');
}

/** Waits for the answer to a PUT, which differs between the two families of paths. */
export class PutExchange extends Exchange {
  private readonly success: ConstantAnswer;

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
