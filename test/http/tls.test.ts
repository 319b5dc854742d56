import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Certificate, makeCertificate } from '../support/certificate.ts';
import {
  chunkedPutText as chunkedPut,
  getText as get,
  putText as put,
  statusesIn,
} from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvc-tls-'));
let certificate: Certificate;
let server: TestServer;

beforeAll(async () => {
  certificate = makeCertificate(folder, 'server');
  server = await startTestServer({
    SHARDS: '1',
    TLS_CERT_FILE: certificate.certFile,
    TLS_KEY_FILE: certificate.keyFile,
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test('nothing of pipelined bodies is lost while the answers before them are not taken', async () => {
  const value = 'v'.repeat(30_000);
  const rounds = 20;
  const pieces = Array.from(
    { length: rounds },
    (_, i) => get('none').repeat(20) + put(`${i}`, value) + get(`${i}`),
  );
  const expected = Array.from({ length: rounds }, () => [
    ...Array<string>(20).fill('404'),
    '201',
    '200',
  ]).flat();
  for (let i = 0; i < 3; i++) {
    const raw = await RawSocket.open(server.port, { ca: certificate.pem });
    raw.write(pieces.join(''));
    await expect.poll(() => statusesIn(raw.text).length).toBe(expected.length);
    expect(statusesIn(raw.text)).toStrictEqual(expected);
    raw.close();
  }
});

test('a client that closes its side when it has asked gets its answers', async () => {
  const raw = await RawSocket.open(server.port, { ca: certificate.pem, isStubborn: true });
  raw.socket.end(put('f', 'again') + get('f'));
  expect(await raw.ended()).toMatch(/201 Created[^]*again/);
});

test('clients whose connection breaks behind a large body do not keep the room for bodies', async () => {
  for (let i = 0; i < 10; i++) {
    const plain = connect(server.port, '127.0.0.1');
    const secure = connectTls({ socket: plain, ca: certificate.pem, host: '127.0.0.1' });
    await once(secure, 'secureConnect');
    secure.on('error', () => undefined);
    // After such a reset none of the answers ever leaves, and none fails (Node 26.10).
    secure.write(chunkedPut('broken', 'b'.repeat(50_000)) + get('broken').repeat(2), () =>
      plain.resetAndDestroy(),
    );
    await once(plain, 'close');
  }
  const raw = await RawSocket.open(server.port, { ca: certificate.pem });
  raw.write(chunkedPut('whole', 'w'));
  await raw.until(/HTTP\/1\.1 201/);
  raw.close();
});

test('handshakes that nobody goes on with make room for others in a second, and who has asked does not', async () => {
  await using small = await startTestServer({
    SHARDS: '1',
    TLS_CERT_FILE: certificate.certFile,
    TLS_KEY_FILE: certificate.keyFile,
  });
  Object.assign(small.app.frontDoor.limits, { maxConnections: 3, reserve: 0, waiting: 0 });
  const isReached = async (): Promise<boolean> => {
    try {
      const raw = await RawSocket.open(small.port, { ca: certificate.pem });
      raw.write(get('none'));
      await raw.until(/HTTP\/1\.1 404/);
      raw.close();
      return true;
    } catch {
      return false;
    }
  };
  const busy = await RawSocket.open(small.port, { ca: certificate.pem });
  busy.write(
    'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n',
  );
  await expect.poll(() => small.app.purse.totals.requests).toBe(1);
  const begun = Array.from({ length: 2 }, () => connect(small.port, '127.0.0.1'));
  for (const socket of begun) {
    socket.on('error', () => undefined);
    // The beginning of a record with a handshake.
    socket.write(Buffer.of(0x16, 3, 1, 2, 0));
  }
  await Promise.all(begun.map((socket) => once(socket, 'connect')));
  expect(await isReached()).toBe(false);
  await expect.poll(isReached, { timeout: 5000 }).toBe(true);
  for (const socket of begun) await expect.poll(() => socket.destroyed).toBe(true);
  expect(busy.isEnded).toBe(false);
  busy.close();
});
