import type { FastifyReply, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { acceptsGzip } from '../fast/accept-gzip.ts';

const compress = promisify(gzip);

interface Loaded {
  readonly hash: string;
  readonly bytes: number;
  readonly compressed: Buffer;
  /** Absent for a large one. */
  readonly plain: Buffer | undefined;
}

/** A file of up to this many bytes is kept uncompressed, too. All requests share it. */
const MAX_KEPT_BYTES = 2 ** 16;

/** A file that stays the same as long as the process runs. It is compressed when it is first asked for. */
export class StaticFile {
  private readonly path: string;
  private readonly type: string;
  private loaded: Promise<Loaded> | undefined;

  constructor(path: string, type: string) {
    this.path = path;
    this.type = type;
  }

  async answer(request: FastifyRequest, reply: FastifyReply, mayCompress: boolean): Promise<FastifyReply> {
    this.loaded ??= this.load();
    const { hash, bytes, compressed, plain } = await this.loaded;
    const isCompressed = mayCompress && acceptsGzip(request.headers['accept-encoding']);
    const tag = isCompressed ? `"${hash}-gzip"` : `"${hash}"`;
    // Asked for again, but sent again only by another version.
    void reply.headers({ 'cache-control': 'no-cache', etag: tag });
    if (mayCompress) void reply.header('vary', 'accept-encoding');
    if (names(request.headers['if-none-match'], tag)) return reply.code(304).send();
    void reply.headers({ 'content-type': this.type });
    if (isCompressed) {
      return reply
        .headers({ 'content-encoding': 'gzip', 'content-length': compressed.length })
        .send(compressed);
    }
    if (plain) return reply.send(plain);
    // As a stream: a client that is slow to take it must not keep all of it in memory.
    return reply.header('content-length', bytes).send(createReadStream(this.path));
  }

  private async load(): Promise<Loaded> {
    const content = await readFile(this.path);
    const hash = createHash('sha256').update(content).digest('base64url').slice(0, 16);
    return {
      hash,
      bytes: content.length,
      compressed: await compress(content, { level: 9 }),
      plain: content.length <= MAX_KEPT_BYTES ? content : undefined,
    };
  }
}

/** Whether an `If-None-Match` field names a tag: RFC 9110, section 13.1.2. */
function names(field: string | undefined, tag: string): boolean {
  if (field === undefined) return false;
  return field.split(',').some((one) => ['*', tag, `W/${tag}`].includes(one.trim()));
}
