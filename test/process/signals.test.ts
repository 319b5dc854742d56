import { copyFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { ChildServer, type Exit } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';
import { HttpClient } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';
import { Random, printedSeed } from '../support/random.ts';
import { RawSocket, untilRefused } from '../support/raw-socket.ts';

const CLEAN: Exit = { code: 0, signal: null };
const EXIT_DEADLINE_MS = 5000;
/** Moments at which a stop signal is tried; those of the next run are others. */
const ROUNDS = IS_LONG ? 30 : 4;
const DEBUGGER_PORT = 9229;
const BODY = '{"key":"a","value":"1"}';
const PUT_HEAD = `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\nexpect: 100-continue\r\n\r\n`;

/** A request that the server has begun to read, and that ends when the test sends its body. */
async function beginPut(port: number): Promise<RawSocket> {
  const raw = await RawSocket.open(port);
  raw.write(PUT_HEAD);
  await raw.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
  return raw;
}

const ENDING: readonly NodeJS.Signals[] = ['SIGQUIT', 'SIGUSR2', 'SIGHUP', 'SIGPWR', 'SIGXCPU'];

describe.skipIf(process.platform !== 'linux')('a signal that would end any process', () => {
  test.each(ENDING)('%s closes gracefully', async (signal) => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const accepted = await beginPut(port);
    child.signal(signal);
    await untilRefused(port);
    accepted.write(BODY);
    expect(await accepted.ended()).toMatch(/HTTP\/1\.1 201/);
    expect(await child.exited).toStrictEqual(CLEAN);
    expect(child.output).toContain(`"${signal}: stopping; waiting for 1 request in flight"`);
    expect(child.output).toMatch(/"msg":"stopped after \d+ ms"/);
    expect(child.errors).toBe('');
  });

  test('SIGUSR1 neither ends the server nor opens a debugger', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const client = new HttpClient(port);
    await client.put('a', '1');
    child.signal('SIGUSR1');
    expect((await client.get('/cache/a')).status).toBe(200);
    await expect(debuggerAnswers()).resolves.toBe(false);
    client.close();
    child.signal('SIGTERM');
    expect(await child.exited).toStrictEqual(CLEAN);
    expect(child.errors).toBe('');
  });
});

function debuggerAnswers(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port: DEBUGGER_PORT, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

describe('a stop signal at any moment of the start', () => {
  test('ends the process in time, by itself or by the signal', { timeout: 60_000 }, async () => {
    const random = new Random(printedSeed('early signals'));
    for (let round = 0; round < ROUNDS; round++) {
      const child = new ChildServer({ env: { SHARDS: '2' } });
      await delay(random.whole(0, 700));
      const signal = (['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)[round % 3];
      const signalledMs = performance.now();
      child.signal(signal);
      const exit = await child.exited;
      expect(performance.now() - signalledMs).toBeLessThan(EXIT_DEADLINE_MS);
      // Before there is any code of ours the system's own rule holds.
      expect([CLEAN, { code: null, signal }]).toContainEqual(exit);
    }
  });
});

describe('a second signal', () => {
  /** Longer than what counts as one and the same signal. */
  const APART_MS = 700;

  test('ends the wait for clients that are slow', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const stuck = await beginPut(port);
    child.signal('SIGTERM');
    await untilRefused(port);
    await delay(APART_MS);
    const signalledMs = performance.now();
    child.signal('SIGINT');
    expect(await child.exited).toStrictEqual(CLEAN);
    expect(performance.now() - signalledMs).toBeLessThan(1500);
    expect(child.output).toMatch(/"msg":"stopped after \d+ ms; 1 request had no answer"/);
    stuck.close();
  });

  test('ends SHUTDOWN_DELAY_MS, and what is in flight is still answered', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1', SHUTDOWN_DELAY_MS: '60000' } });
    const accepted = await beginPut(port);
    child.signal('SIGTERM');
    await delay(APART_MS);
    const client = new HttpClient(port);
    expect((await client.get('/health')).status).toBe(200);
    client.close();
    child.signal('SIGTERM');
    await untilRefused(port);
    accepted.write(BODY);
    expect(await accepted.ended()).toMatch(/HTTP\/1\.1 201/);
    expect(await child.exited).toStrictEqual(CLEAN);
  });
});

describe('SHUTDOWN_DELAY_MS', () => {
  test('/ready says 503 at once, and connections are taken and served for that long', async () => {
    const delayMs = 1500;
    const { child, port } = await ChildServer.listening({
      env: { SHARDS: '1', SHUTDOWN_DELAY_MS: String(delayMs) },
    });
    const signalledMs = performance.now();
    child.signal('SIGTERM');
    await expect.poll(() => child.output).toContain('SIGTERM: stopping; connections are taken for 1.5 s');
    for (let round = 0; performance.now() - signalledMs < delayMs - 500; round++) {
      const client = new HttpClient(port);
      expect((await client.get('/ready')).status).toBe(503);
      expect((await client.put(`key-${round}`, 'value')).status).toBe(201);
      expect((await client.get(`/cache/key-${round}`)).status).toBe(200);
      expect((await client.get('/health')).status).toBe(200);
      client.close();
    }
    expect(await child.exited).toStrictEqual(CLEAN);
    const tookMs = performance.now() - signalledMs;
    expect(tookMs).toBeGreaterThanOrEqual(delayMs);
    expect(tookMs).toBeLessThan(delayMs + EXIT_DEADLINE_MS);
    expect(child.errors).toBe('');
  });
});

describe('SIGHUP, with files', () => {
  const REFUSED = 401;

  test('takes a new token, and stays with it where the next file is none', async () => {
    const tokenFile = join(makeFolder(), 'token');
    writeFileSync(tokenFile, 'first\n');
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1', AUTH_TOKEN_FILE: tokenFile } });
    expect(await statusWith(port, 'first')).toBe(404);
    writeFileSync(tokenFile, 'second\n');
    expect(await statusWith(port, 'second')).toBe(REFUSED);
    child.signal('SIGHUP');
    await expect.poll(() => statusWith(port, 'second')).toBe(404);
    expect(await statusWith(port, 'first')).toBe(REFUSED);

    for (const bad of ['', 'two words', 'x'.repeat(2 ** 20 + 1)]) {
      const before = child.output.split('\n').length;
      writeFileSync(tokenFile, bad);
      child.signal('SIGHUP');
      await expect.poll(() => child.output.split('\n').length).toBe(before + 1);
      const line = JSON.parse(child.output.trimEnd().split('\n').at(-1)!) as { level: number; msg: string };
      expect(line.level).toBe(50);
      expect(line.msg).toMatch(/^SIGHUP: the files are not taken, .* stays in force: AUTH_TOKEN_FILE: /);
      expect(line.msg).not.toContain('two words');
      expect(await statusWith(port, 'second')).toBe(404);
    }
    child.signal('SIGTERM');
    expect(await child.exited).toStrictEqual(CLEAN);
  });

  test('a new certificate is shown to new connections, and the others live on', async () => {
    const folder = makeFolder();
    const first = makeCertificate(folder, 'first');
    const second = makeCertificate(folder, 'second');
    const certFile = join(folder, 'server.crt');
    const keyFile = join(folder, 'server.key');
    const install = ({ certFile: cert, keyFile: key }: { certFile: string; keyFile: string }): void => {
      copyFileSync(cert, certFile);
      copyFileSync(key, keyFile);
    };
    install(first);
    const { child, port } = await ChildServer.listening({
      env: { SHARDS: '1', TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile },
    });
    const before = new HttpClient(port, first.pem);
    expect((await before.put('a', '1')).status).toBe(201);
    expect(await trusts(port, second.pem)).toBe(false);

    copyFileSync(second.keyFile, keyFile);
    child.signal('SIGHUP');
    await expect.poll(() => child.output).toMatch(/the files are not taken.*TLS_CERT_FILE, TLS_KEY_FILE/);
    expect(await trusts(port, first.pem)).toBe(true);

    install(second);
    child.signal('SIGHUP');
    await expect.poll(() => trusts(port, second.pem)).toBe(true);
    expect(await trusts(port, first.pem)).toBe(false);
    expect((await before.get('/cache/a')).status).toBe(200);
    before.close();
    expect(child.errors).toBe('');
  });

  test.skipIf(process.platform !== 'linux')(
    'that comes while the server starts is not lost, and ends nothing',
    async () => {
      const tokenFile = join(makeFolder(), 'token');
      writeFileSync(tokenFile, 'first');
      const child = new ChildServer({ env: { SHARDS: '1', AUTH_TOKEN_FILE: tokenFile, LOG_LEVEL: 'info' } });
      const hangUps = setInterval(() => child.handles('SIGHUP') && child.signal('SIGHUP'), 5);
      const port = await child.port().finally(() => clearInterval(hangUps));
      await expect.poll(() => child.output).toContain('SIGHUP: token and certificate files were read again');
      expect(await statusWith(port, 'first')).toBe(404);
    },
  );
});

async function statusWith(port: number, token: string): Promise<number> {
  const client = new HttpClient(port);
  const headers = { authorization: `Bearer ${token}` };
  const { status } = await client.call({ path: '/cache/none', headers });
  client.close();
  return status;
}

/** Whether a client that trusts only this authority connects. */
function trusts(port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTls({ port, host: '127.0.0.1', ca });
    socket.once('secureConnect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('secureConnect', () => socket.destroy());
  });
}
