import type { FastifyInstance } from 'fastify';
import { gzip } from 'node:zlib';
import { acceptsGzip } from './fast/accept-gzip.ts';
import { NO_STORE } from './write-answer.ts';

/**
 * Adds what all answers of Fastify need: `Cache-Control`, and compression of long texts. Entries do not come this way: their
 * shards compress them, and `exchanges.ts` writes their headers.
 */
export function finishAnswers(app: FastifyInstance, gzipThresholdBytes: number): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    // A route whose answers may be kept has said so.
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', NO_STORE);
    const isText = typeof payload === 'string';
    const isLong = isText && gzipThresholdBytes > 0 && Buffer.byteLength(payload) > gzipThresholdBytes;
    if (!isLong) {
      done(null, payload);
      return;
    }
    const vary = reply.getHeader('vary');
    void reply.header('vary', vary === undefined ? 'accept-encoding' : `${String(vary)}, accept-encoding`);
    if (!acceptsGzip(request.headers['accept-encoding'])) {
      done(null, payload);
      return;
    }
    gzip(payload, (error, zipped) => {
      if (error) {
        done(error);
        return;
      }
      void reply.header('content-encoding', 'gzip');
      done(null, zipped);
    });
  });
}
