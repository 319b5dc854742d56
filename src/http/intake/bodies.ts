import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { parse as parseContentType } from 'content-type';
import type { GarbageMeter } from '../garbage-meter.ts';
import { BodyBuffer } from '../fast/body-buffer.ts';
import { accountOf } from './account.ts';
import { MIN_LARGE_BODY_BYTES } from './body-queue.ts';
import { DirectRequest, declaredBytes, freePiece, hasBody, takeBody } from '../fast/direct-request.ts';
import { type Failure, FailureError } from '../failures.ts';
import { whenClosed } from './when-closed.ts';
import { isFlatJson } from '../fast/flat-json.ts';
import { HeaderMemo } from '../fast/header-memo.ts';
import type { Purse } from './purse.ts';

const TOO_LARGE: Failure = {
  code: 'CACHE_ERR_BODY_TOO_LARGE',
  message: 'The body is larger than any allowed key and value could make it.',
};
export const NOT_JSON: Failure = {
  code: 'CACHE_ERR_BODY_INVALID',
  message: 'The body is not valid JSON in UTF-8.',
};
const ENCODED: Failure = {
  code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
  message: 'The body must not be compressed; send it without Content-Encoding.',
};
const WRONG_CHARSET: Failure = {
  code: 'CACHE_ERR_MEDIA_TYPE_UNSUPPORTED',
  message: 'The charset must be utf-8; send the header "Content-Type: application/json".',
};
const INCOMPLETE: Failure = { code: 'CACHE_ERR_REQUEST_INVALID', message: 'The body ended early.' };
const BUSY: Failure = {
  code: 'CACHE_ERR_BUSY',
  message: 'Too many large bodies are being received already.',
  refusal: 'bodies',
};

const NOT_FLAT: Failure = {
  code: 'CACHE_ERR_BODY_INVALID',
  message:
    'The body must be one JSON object with key, value and, if wanted, ttl, and no object or array in it.',
};
export const TOO_SLOW: Failure = {
  code: 'CACHE_ERR_REQUEST_TIMEOUT',
  message: 'The body came too slowly while others waited to send theirs.',
  refusal: 'slow_body',
};

/** Characters per ms that a large body must come at, while others wait for room. */
const MIN_RATE = 64;

/** Share of the deadline in which a large body may come slowly while others wait. */
const PATIENCE_SHARE = 1 / 2;

/** In them ASCII is ASCII, and nothing else may be stored. */
const CHARSETS: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'iso-8859-1']);
/** Whether a content type, with its parameters, names no charset or one of these. */
const readableTypes = new HeaderMemo((type) =>
  CHARSETS.has((parseContentType(type).parameters['charset'] ?? 'utf-8').toLowerCase()),
);
/** What some clients begin UTF-8 with, as Latin-1. */
const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

type Done = (error: Error | null, body?: unknown) => void;

/** A large body for which room has been granted. */
interface Upload {
  readonly reply: FastifyReply;
  /** Bytes that its account is charged. */
  readonly charge: number;
  readonly grantedMs: number;
  bytes: number;
  isWhole: boolean;
  cutOff: () => void;
}

declare module 'fastify' {
  interface FastifyRequest {
    upload: Upload | undefined;
  }
}

export interface BodyOptions {
  readonly limitBytes: number;
  readonly purse: Purse;
  readonly garbage: GarbageMeter;
  /** A body for which there is no room by then is refused. */
  readonly deadlineMs: number;
  readonly nowMs: () => number;
}

/** Reads request bodies: flat JSON, as many at once as there is room for. */
export class Bodies {
  private readonly options: BodyOptions;
  private readonly uploads = new Set<Upload>();

  constructor(options: BodyOptions) {
    this.options = options;
  }

  /**
   * Parses JSON bodies and no others, without coercion; properties such as `__proto__` are left to the schema
   * to name. Bytes are decoded as Latin-1: all that may be stored is ASCII, and every other byte becomes a
   * character that the schema refuses.
   */
  register(app: FastifyInstance): void {
    app.decorateRequest('upload', undefined);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('application/json', (request, _payload, done: Done) => {
      this.read(request, done);
    });
  }

  /**
   * Lets a JSON body be read only when there is room for it. A `preParsing` hook: until it is done nothing is read
   * beyond Node's own small buffer, and the client's system holds the rest back.
   */
  readonly admit = (
    request: FastifyRequest,
    reply: FastifyReply,
    _payload: unknown,
    done: (error?: Error) => void,
  ): void => {
    const { limitBytes } = this.options;
    // Of a body that does not tell its length, assume the longest that is allowed.
    const bytes = declaredBytes(request.headers) ?? limitBytes;
    if (bytes > limitBytes) {
      done(new FailureError(TOO_LARGE));
      return;
    }
    this.enter(request, reply, bytes, (failure) => {
      if (failure) {
        done(new FailureError(failure));
        return;
      }
      if (request.headers.expect !== undefined) continueBody(request, reply);
      done();
    });
  };

  /**
   * Waits until there is room for a body.
   * @param bytes of memory that it takes here at once.
   * @param decide called once it may be read, or with why not; never if nobody waits for an answer any more.
   */
  enter(
    request: FastifyRequest,
    reply: FastifyReply,
    bytes: number,
    decide: (failure?: Failure) => void,
  ): void {
    if (bytes < MIN_LARGE_BODY_BYTES) {
      decide();
      return;
    }
    const { purse } = this.options;
    // One body always fits, however large.
    const charge = Math.min(bytes, purse.limits.bodyBytes);
    purse.bodyQueue.enter(charge, purse.bearsWaitingBody && !this.isLate(request), (isGranted) => {
      if (request.raw.socket.destroyed) return;
      if (isGranted) this.begin(request, reply, charge);
      decide(isGranted ? undefined : BUSY);
    });
  }

  /** Reads a body that may be read into one buffer. @param done called with it, or why there is none. */
  gather(request: FastifyRequest, limitBytes: number, done: (result: BodyBuffer | Failure) => void): void {
    const { upload, raw } = request;
    const declared = request.headers['content-length'];
    const body = new BodyBuffer(declared === undefined ? undefined : Number(declared), limitBytes);
    let isFinished = false;
    takeBody(raw, {
      add: (chunk) => {
        const isKept = !isFinished && body.add(chunk);
        if (upload) upload.bytes = body.length;
        // Left to the collector, tens of MiB of network buffers would wait for it.
        if (!isKept) freePiece(raw, chunk);
      },
      end: () => {
        // It has come; now it is not the client that takes its time.
        if (upload) upload.isWhole = true;
        finish();
      },
    });
    raw.on('error', () => finish(INCOMPLETE));
    if (upload) upload.cutOff = () => finish(TOO_SLOW);

    function finish(failure?: Failure): void {
      if (isFinished) return;
      isFinished = true;
      if (failure) body.free();
      done(failure ?? body);
    }
  }

  /**
   * While bodies wait for room, takes room back from bodies whose answers are complete but not sent, and ends bodies that
   * arrive too slowly.
   */
  sweep(nowMs: number): void {
    const { bodyQueue } = this.options.purse;
    // A body that waits behind a slow one is to have its turn before the deadline.
    const patienceMs = this.options.deadlineMs * PATIENCE_SHARE;
    for (const upload of bodyQueue.hasWaiters ? this.uploads : []) {
      const elapsedMs = nowMs - upload.grantedMs;
      const isSlow = elapsedMs > patienceMs && upload.bytes < elapsedMs * MIN_RATE;
      // The client may not take its answer. Over TLS, Node may never report that the client has reset the connection.
      if (upload.reply.raw.writableEnded) this.release(upload);
      else if (isSlow && !upload.isWhole) upload.cutOff();
    }
    bodyQueue.sweep(nowMs);
  }

  /** Whether a request has waited for the bodies before it so long that it may not wait for room as well. */
  private isLate({ raw }: FastifyRequest): boolean {
    const { nowMs, deadlineMs } = this.options;
    return raw instanceof DirectRequest && nowMs() - raw.beganMs >= deadlineMs;
  }

  private begin(request: FastifyRequest, reply: FastifyReply, charge: number): void {
    const upload: Upload = {
      reply,
      charge,
      grantedMs: this.options.nowMs(),
      bytes: 0,
      isWhole: false,
      cutOff: () => undefined,
    };
    this.uploads.add(upload);
    accountOf(request.raw.socket)?.charge('bodyBytes', charge);
    request.upload = upload;
    whenClosed(reply.raw, () => this.release(upload));
  }

  private release(upload: Upload): void {
    if (!this.uploads.delete(upload)) return;
    const { request } = upload.reply;
    // The response may live long, and it refers to the request.
    request.body = undefined;
    accountOf(request.raw.socket)?.release('bodyBytes', upload.charge);
    this.options.garbage.add(upload.charge);
  }

  private read(request: FastifyRequest, done: Done): void {
    const { limitBytes } = this.options;
    const { headers } = request;
    // Node has ended the stream of a request without a body before anybody could listen to it.
    if (!hasBody(headers)) {
      done(new FailureError(NOT_JSON));
      return;
    }
    this.gather(request, limitBytes, (body) => {
      const result =
        body instanceof BodyBuffer
          ? (unreadable(headers, headers['content-type']!) ?? parse(body, limitBytes))
          : body;
      if ('parsed' in result) {
        done(null, result.parsed);
        return;
      }
      if (body instanceof BodyBuffer) body.free();
      done(new FailureError(result));
    });
  }
}

/**
 * A client that has announced a body, and waits with it (`Expect: 100-continue`), is to send it. One that has its final
 * answer before does not send it.
 */
export function continueBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  // To HTTP/1.0 the header means nothing. What is injected has its body already.
  if (raw.httpVersionMinor > 0 && raw instanceof DirectRequest) reply.raw.writeContinue();
}

/** Why a body cannot be read as JSON, whatever is in it. */
export function unreadable(headers: IncomingHttpHeaders, contentType: string): Failure | undefined {
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') return ENCODED;
  return readableTypes.of(contentType) ? undefined : WRONG_CHARSET;
}

export function withoutByteOrderMark(text: string): string {
  return text.startsWith(BYTE_ORDER_MARK) ? text.slice(BYTE_ORDER_MARK.length) : text;
}

function parse(body: BodyBuffer, limitBytes: number): Failure | { readonly parsed: unknown } {
  if (body.length > limitBytes) return TOO_LARGE;
  const text = withoutByteOrderMark(body.text());
  body.free();
  if (!isFlatJson(text)) return NOT_FLAT;
  try {
    return { parsed: JSON.parse(text) };
  } catch {
    return NOT_JSON;
  }
}
