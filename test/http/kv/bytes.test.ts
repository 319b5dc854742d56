import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Certificate, makeCertificate } from '../../support/certificate.ts';
import { HttpClient } from '../../support/http-client.ts';
import { IS_LONG } from '../../support/long.ts';
import { RawSocket } from '../../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../../support/server.ts';

const MIB = 2 ** 20;
const CHUNKED = { 'transfer-encoding': 'chunked' };
const ALL_BYTES = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i));

const folder = mkdtempSync(join(tmpdir(), 'kvc-raw-'));
let certificate: Certificate;

beforeAll(() => {
  certificate = makeCertificate(folder, 'server');
});

afterAll(() => rmSync(folder, { recursive: true }));

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe.each([
  ['HTTP, 1 shard', '1', false],
  ['HTTP, 4 shards', '4', false],
  ['TLS, 1 shard', '1', true],
])('%s: what is put is what is got', (_name, shards, isSecure) => {
  let server: TestServer;
  let client: HttpClient;

  beforeAll(async () => {
    server = await startTestServer({
      SHARDS: shards,
      MAX_RAW_BYTES: '256mb',
      ...(isSecure && { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile }),
    });
    client = isSecure ? new HttpClient(server.port, certificate.pem) : server.client;
  });

  afterAll(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
  });

  async function expectRoundTrip(path: string, body: Buffer, headers: Record<string, string>): Promise<void> {
    const put = await client.call({ method: 'PUT', path, headers, body });
    expect([put.status, put.text]).toStrictEqual([201, '']);
    const got = await client.get(path);
    expect(got.status).toBe(200);
    expect(got.headers['content-length']).toBe(String(body.length));
    expect(got.headers.etag).toBe(put.headers.etag);
    expect(sha256(got.bytes)).toBe(sha256(body));
    const head = await client.call({ method: 'HEAD', path });
    expect(head.headers).toMatchObject({ 'content-length': String(body.length), etag: put.headers.etag });
  }

  // Around the sizes where a value crosses otherwise, or comes in pieces.
  const short = [0, 1, 255, 256, 1023, 1024, 4095, 4096, 8191, 8192];
  const sizes = [...short, 16_383, 16_384, 100_000, MIB - 64, MIB, MIB + 1, 8 * MIB];
  test.each(sizes)('%i bytes', async (size) => {
    const body = randomBytes(size);
    await expectRoundTrip(`/kv/length/${size}`, body, { 'content-length': String(size) });
    await expectRoundTrip(`/kv/chunked/${size}`, body, CHUNKED);
  });

  test('every byte, in every place of a short value', async () => {
    for (let i = 0; i < 256; i++) {
      const body = Buffer.concat([ALL_BYTES.subarray(i), ALL_BYTES.subarray(0, i)]);
      await client.call({ method: 'PUT', path: `/kv/byte/${i}`, body });
      expect((await client.get(`/kv/byte/${i}`)).bytes.equals(body)).toBe(true);
    }
  });

  test.runIf(IS_LONG)('200 MiB', { timeout: 120_000 }, async () => {
    const body = randomBytes(200 * MIB);
    await expectRoundTrip('/kv/200', body, { 'content-length': String(body.length) });
    await expectRoundTrip('/kv/200/chunked', body, CHUNKED);
  });
});

describe('a body that is cut off stores nothing', () => {
  let server: TestServer;
  let reservedBytes: number;

  beforeAll(async () => {
    server = await startTestServer({ SHARDS: '1' });
    ({ reservedBytes } = (await server.client.stats()).totals);
  });

  afterAll(() => server[Symbol.asyncDispose]());

  async function expectNothing(): Promise<void> {
    // The answer to a later request on another connection: by then the end of the other one has been seen.
    await expect.poll(() => server.app.purse.totals).toMatchObject({ requests: 0, bodyBytes: 0 });
    expect((await server.client.get('/kv/part')).status).toBe(404);
    const left = { entries: 0, reservedBytes };
    await expect.poll(async () => (await server.client.stats()).totals).toMatchObject(left);
  }

  test.each([
    ['small', 'content-length: 10', 'short'],
    ['in pieces', `content-length: ${8 * MIB}`, 'x'.repeat(3 * MIB)],
    ['chunked', 'transfer-encoding: chunked', '5\r\nshort\r\n'],
    ['chunked, in pieces', 'transfer-encoding: chunked', `300000\r\n${'x'.repeat(3 * MIB)}\r\n`],
  ])('%s', async (_name, header, sent) => {
    for (const isReset of [true, false]) {
      const raw = await RawSocket.open(server.port);
      raw.write(`PUT /kv/part HTTP/1.1\r\nhost: a\r\n${header}\r\n\r\n${sent}`);
      await expect.poll(() => server.app.purse.totals.requests).toBe(1);
      if (isReset) raw.socket.resetAndDestroy();
      else raw.socket.end();
      await raw.ended();
      await expectNothing();
    }
  });
});
