import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import {
  CREATED,
  DELETED,
  LARGE_HIT,
  MISS,
  NOT_MODIFIED,
  RAW_FOUND,
  RAW_HIT,
  RAW_HIT_GZIP,
  REPLACED,
} from '../shared/protocol.ts';
import { type EntryHead, decodeHead, isCompressible } from '../shared/raw-entries.ts';
import type { ReplyPayload } from '../shared/reply-memory.ts';
import type { LargeRead } from '../shards/large-read.ts';
import { type Answer, varyByEncoding, writeAnswer } from './write-answer.ts';
import {
  Exchange,
  type GetOptions,
  endWith,
  failureOfReply,
  followLarge,
  isHeld,
  ownCopy,
  writeFailure,
} from './exchanges.ts';
import { type Failure, renderFailure } from './failures.ts';
import { noteRefusal } from '../metrics/traffic.ts';
import { acceptsGzip } from './fast/accept-gzip.ts';
import { whenClosed } from './intake/when-closed.ts';
import { GZIP_SUFFIX, namesGzipForm } from './raw-request.ts';

/** How raw entries are spoken of to a kind of client. */
export interface Dialect {
  readonly stored: (isNew: boolean, tag: string, key: string) => Answer;
  /** @param method of the request. */
  readonly failed: (failure: Failure, method: string) => Answer;
  /** Headers that an entry is answered with beside those that all have, names and values in turn. */
  readonly headers: (head: EntryHead) => readonly string[];
}

const NONE: readonly string[] = [];

/** That of `/kv/`. */
export const PLAIN_DIALECT: Dialect = {
  stored: (isNew, tag) => {
    const etag = ['etag', `"${tag}"`];
    return isNew
      ? { status: 201, headers: ['content-length', '0', ...etag], body: '' }
      : { status: 204, headers: etag, body: '' };
  },
  failed: ({ code, message }) => renderFailure(code, message),
  headers: () => NONE,
};

/** Types that a browser runs no script of. */
const INERT =
  /^(?:$|(?:application\/(?:octet-stream|json)|text\/plain|image\/(?:png|jpeg|gif|webp|avif))(?:;|$))/i;
/** A page that somebody has stored may do no more here than one of another origin. */
const SANDBOX = ['content-security-policy', 'sandbox', 'x-content-type-options', 'nosniff'];

function writeRawFailure(response: ServerResponse, failure: Failure, { failed }: Dialect): void {
  if (failure.refusal !== undefined) noteRefusal(response, failure.refusal);
  writeAnswer(response, failed(failure, response.req.method!));
}

/** Waits for the answer to a GET or HEAD of a raw entry. */
export class RawGetExchange extends Exchange {
  private readonly options: GetOptions;
  private readonly dialect: Dialect;

  constructor(reply: FastifyReply, options: GetOptions, dialect: Dialect) {
    super(reply);
    this.options = options;
    this.dialect = dialect;
  }

  settle(
    code: number,
    payload: ReplyPayload,
    delivered?: () => void,
    head?: string,
    largeRead?: LargeRead,
  ): void {
    const { response, options, dialect } = this;
    if (delivered) followLarge(response, payload, delivered, options);
    if (head === undefined) {
      writeRawFailure(response, failureOfReply(code), dialect);
      return;
    }
    // What is cut out of the batch keeps all of it.
    const entry = decodeHead(largeRead || isHeld(response) ? ownCopy(head) : head);
    const isZipped = code === RAW_HIT_GZIP;
    const headers = this.headersOf(entry, isZipped);
    if (code === NOT_MODIFIED) {
      const tag = namesGzipForm(response.req.headers, entry.tag) ? entry.tag + GZIP_SUFFIX : entry.tag;
      headers.push('etag', `"${tag}"`);
      response.writeHead(304, 'Not Modified', headers);
      response.end();
      return;
    }
    const bytes = code === RAW_FOUND || code === LARGE_HIT ? entry.valueBytes : payload.length;
    headers.push('etag', `"${entry.tag}${isZipped ? GZIP_SUFFIX : ''}"`);
    // Nobody knows how long the gzip form is before it is made for a GET.
    const isLengthKnown =
      code !== RAW_FOUND || !this.mayBeZipped(entry) || !acceptsGzip(response.req.headers['accept-encoding']);
    if (isLengthKnown) headers.push('content-length', String(bytes));
    headers.push('content-type', entry.contentType === '' ? 'text/plain' : entry.contentType);
    if (!INERT.test(entry.contentType)) headers.push(...SANDBOX);
    if (isZipped) headers.push('content-encoding', 'gzip');
    else if (entry.contentEncoding !== '') headers.push('content-encoding', entry.contentEncoding);
    for (const text of dialect.headers(entry)) headers.push(text);
    if (largeRead) {
      void this.sendPieces(largeRead, headers);
      return;
    }
    response.writeHead(200, 'OK', headers);
    if (code === RAW_HIT || isZipped) endWith(response, payload);
    else response.end();
  }

  /** Those that a 304 has as well. */
  private headersOf(entry: EntryHead, isZipped: boolean): string[] {
    const { ttlMs } = entry;
    const headers =
      ttlMs > 0
        ? ['cache-control', `max-age=${Math.floor(ttlMs / 1000)}`, 'x-ttl', String(ttlMs / 1000)]
        : ['cache-control', 'no-cache'];
    if (isZipped || this.mayBeZipped(entry)) headers.push('vary', varyByEncoding(this.response));
    return headers;
  }

  /** Sends a value piece by piece, as its client takes it. */
  private async sendPieces(read: LargeRead, headers: string[]): Promise<void> {
    const { response, options, dialect } = this;
    const closed = new Promise<void>((resolve) => {
      whenClosed(response, resolve);
    });
    whenClosed(response, () => read.cancel());
    let piece = await read.next();
    if (typeof piece === 'number' && !response.destroyed) {
      // Nothing has been sent yet: so the client can be told.
      writeRawFailure(response, failureOfReply(piece), dialect);
      return;
    }
    response.writeHead(200, 'OK', headers);
    for (; piece !== undefined; piece = await read.next()) {
      if (typeof piece === 'number') {
        // What has been sent is too short for its Content-Length: so the client sees that it is not all.
        response.req.socket.destroy();
        return;
      }
      const { bytes, delivered } = piece;
      const endPiece = options.largeReplies.beginPiece(response);
      // Past the end of a connection nobody may call back.
      const isTaken = await Promise.race([written(response, bytes), closed]);
      endPiece();
      if (isTaken !== true) await closed;
      delivered();
    }
    response.end();
  }

  private mayBeZipped(entry: EntryHead): boolean {
    const { gzipThresholdBytes } = this.options;
    return gzipThresholdBytes > 0 && entry.valueBytes > gzipThresholdBytes && isCompressible(entry);
  }
}

function written(response: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    response.write(bytes, (error) => resolve(!error));
  });
}

/** Waits for the answer to a PUT of a raw entry. */
export class RawPutExchange extends Exchange {
  private readonly dialect: Dialect;
  private readonly key: string;

  constructor(reply: FastifyReply, dialect: Dialect, key: string) {
    super(reply);
    this.dialect = dialect;
    this.key = key;
  }

  settle(code: number, _payload: ReplyPayload, _delivered?: () => void, head?: string): void {
    const isStored = head !== undefined && (code === CREATED || code === REPLACED);
    if (!isStored) {
      this.fail(failureOfReply(code));
      return;
    }
    const { dialect, key } = this;
    writeAnswer(this.response, dialect.stored(code === CREATED, decodeHead(head).tag, key));
  }

  fail(failure: Failure): void {
    const { response } = this;
    if (response.headersSent || response.destroyed) return;
    writeRawFailure(response, failure, this.dialect);
  }
}

/** Waits for the answer to a DELETE of a raw entry. That there is no such entry any more is what was wanted. */
export class RawDeleteExchange extends Exchange {
  settle(code: number): void {
    const { response } = this;
    if (code === DELETED || code === MISS) response.writeHead(204).end();
    else writeFailure(response, code);
  }
}
