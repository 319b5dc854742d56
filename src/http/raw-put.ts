import type { FastifyReply, FastifyRequest } from 'fastify';
import { BLOCK_BYTES } from '../shared/segment-sizes.ts';
import type { PutOptions } from '../shared/raw-entries.ts';
import type { HttpRouter } from '../shards/router.ts';
import type { Upload } from '../shards/upload.ts';
import { formatBytes } from '../config/byte-size.ts';
import type { Failure } from './failures.ts';
import { BodyBuffer } from './fast/body-buffer.ts';
import { DirectRequest, declaredBytes, freePiece } from './fast/direct-request.ts';
import { type Bodies, TOO_SLOW, continueBody } from './intake/bodies.ts';
import { whenClosed } from './intake/when-closed.ts';
import type { RawPutExchange } from './raw-exchanges.ts';

/** What a value that comes in pieces takes on this thread: see `Upload`. */
const UPLOAD_BYTES = 2 * BLOCK_BYTES;

export interface RawPutOptions {
  readonly router: HttpRouter;
  readonly bodies: Bodies;
  readonly maxRawBytes: number;
}

export interface RawPut {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly key: string;
  readonly put: PutOptions;
  readonly exchange: RawPutExchange;
}

/** Reads the body of a raw PUT, and has it stored. */
export function receiveRawPut(options: RawPutOptions, rawPut: RawPut): void {
  const { router, bodies, maxRawBytes } = options;
  const { request, reply, key, put, exchange } = rawPut;
  const limit = Math.min(maxRawBytes, router.maxValueBytes);
  const bytes = declaredBytes(request.headers);
  if (bytes !== undefined && bytes > limit) {
    refuse(rawPut, tooLarge(limit));
    return;
  }
  if (bytes === undefined || !router.takesWhole(key.length, bytes)) {
    bodies.enter(request, reply, UPLOAD_BYTES, (failure) => {
      if (failure) refuse(rawPut, failure);
      else void new LargePut(options, rawPut, limit).receive(bytes);
    });
    return;
  }
  bodies.enter(request, reply, bytes, (failure) => {
    if (failure) {
      refuse(rawPut, failure);
      return;
    }
    if (bytes === 0) {
      router.putRaw(key, Buffer.alloc(0), put, exchange);
      return;
    }
    if (request.headers.expect !== undefined) continueBody(request, reply);
    bodies.gather(request, limit, (body) => {
      if (body instanceof BodyBuffer) storeWhole(body);
      else exchange.fail(body);
    });
  });

  function storeWhole(body: BodyBuffer): void {
    router.putRaw(key, body.bytes(), put, exchange);
    body.free();
  }
}

function tooLarge(limit: number): Failure {
  return {
    code: 'CACHE_ERR_VALUE_TOO_LARGE',
    message: `value must have at most ${formatBytes(limit)}, and is longer.`,
  };
}

/** Answers without reading the body. */
function refuse({ request: { raw }, exchange }: RawPut, failure: Failure): void {
  if (raw instanceof DirectRequest) raw.discardBody();
  exchange.fail(failure);
}

/**
 * A body that is large, or of unknown length. It comes through the request's stream, so that the client is held back while
 * the shard takes a piece. What comes is kept here until it is clear that it does not fit into one message.
 */
class LargePut {
  private readonly options: RawPutOptions;
  private readonly rawPut: RawPut;
  private readonly limit: number;
  private readonly start: BodyBuffer;
  private upload: Upload | undefined;
  private bytes = 0;
  private isOver = false;

  constructor(options: RawPutOptions, rawPut: RawPut, limit: number) {
    this.options = options;
    this.rawPut = rawPut;
    this.limit = limit;
    this.start = new BodyBuffer(undefined, limit);
  }

  async receive(declared: number | undefined): Promise<void> {
    const { request, reply } = this.rawPut;
    const { raw, upload: admitted } = request;
    whenClosed(reply.raw, () => this.end());
    if (admitted) admitted.cutOff = () => this.fail(TOO_SLOW);
    // The shard is asked first: a client that waits for 100-continue need not send what finds no room.
    if (declared !== undefined && !(await this.begin(declared))) return;
    if (request.headers.expect !== undefined) continueBody(request, reply);
    let work: Promise<unknown> = Promise.resolve();
    if (raw instanceof DirectRequest) raw.streamBody();
    raw.on('data', (chunk: Buffer) => {
      // What comes of a body that is refused is thrown away.
      if (this.isOver) {
        this.drop(chunk);
        return;
      }
      raw.pause();
      work = work.then(() => this.take(chunk)).then(() => raw.resume());
    });
    raw.on('end', () => {
      if (admitted) admitted.isWhole = true;
      void work.then(() => this.store());
    });
    // The response closes as well.
    raw.on('error', () => undefined);
  }

  private async take(chunk: Buffer): Promise<void> {
    if (this.isOver) {
      this.drop(chunk);
      return;
    }
    const { router } = this.options;
    const { request, key } = this.rawPut;
    this.bytes += chunk.length;
    if (request.upload) request.upload.bytes = this.bytes;
    if (this.bytes > this.limit) {
      this.fail(tooLarge(this.limit));
      this.drop(chunk);
    } else if (this.upload) {
      await this.write(chunk);
      this.drop(chunk);
    } else {
      const isKept = this.start.add(chunk);
      if (!isKept) this.drop(chunk);
      if (router.takesWhole(key.length, this.bytes)) return;
      if (await this.begin(0)) await this.write(this.start.bytes());
      this.start.free();
    }
  }

  /** @returns whether the shard has room. */
  private async begin(bytes: number): Promise<boolean> {
    const { key } = this.rawPut;
    const upload = await this.options.router.beginUpload(key, bytes);
    if (typeof upload === 'number') {
      this.settle(upload);
      return false;
    }
    this.upload = upload;
    // The client may have gone meanwhile.
    if (this.isOver) upload.abort();
    return !this.isOver;
  }

  private async write(chunk: Uint8Array): Promise<void> {
    const { upload } = this;
    if (this.isOver || !upload) return;
    if (!(await upload.write(chunk))) this.settle(upload.code!);
  }

  /** It has come whole. */
  private async store(): Promise<void> {
    if (this.isOver) return;
    const { key, put, exchange } = this.rawPut;
    if (this.upload) {
      const { code, head } = await this.upload.commit(put);
      this.isOver = true;
      exchange.settle(code, '', undefined, head);
      return;
    }
    this.isOver = true;
    this.options.router.putRaw(key, this.start.bytes(), put, exchange);
    this.start.free();
  }

  private settle(code: number): void {
    if (this.isOver) return;
    this.end();
    this.discard();
    this.rawPut.exchange.settle(code, '');
  }

  private fail(failure: Failure): void {
    if (this.isOver) return;
    this.end();
    this.discard();
    this.rawPut.exchange.fail(failure);
  }

  /** Left to the collector, the network buffers of large values would lead to one major collection after another. */
  private drop(chunk: Buffer): void {
    freePiece(this.rawPut.request.raw, chunk);
  }

  /** Nothing is stored of it. */
  private end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.upload?.abort();
    this.start.free();
  }

  private discard(): void {
    const { raw } = this.rawPut.request;
    if (raw instanceof DirectRequest) raw.discardBody();
    raw.resume();
  }
}
