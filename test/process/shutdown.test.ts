import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { HttpClient } from '../support/http-client.ts';
import { Load } from '../support/load.ts';
import { startTestServer } from '../support/server.ts';
import { RawSocket, untilRefused } from '../support/raw-socket.ts';

const EXIT_DEADLINE_MS = 5000;
/** Well before the deadline at which whoever is left is left: nothing is left here. */
const PROMPT_MS = 2500;
const BODY = '{"key":"a","value":"1"}';
const PUT_HEAD = `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n`;

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('without load: exit code 0, at once', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const client = new HttpClient(port);
    await client.get('/health');
    const signalledMs = performance.now();
    child.signal(signal);
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
    expect(performance.now() - signalledMs).toBeLessThan(PROMPT_MS);
    expect(child.errors).toBe('');
    client.close();
  });

  test('a request that was accepted is answered, then its connection closed', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const accepted = await RawSocket.open(port);
    // The interim answer is the proof that the request has reached the server.
    accepted.write(`${PUT_HEAD}expect: 100-continue\r\n\r\n`);
    await accepted.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    const begun = await RawSocket.open(port);
    begun.write('GET /ready HTTP/1.1\r\nhost: test\r\n');
    // On the same connection order, its bytes have been read when a later connection is answered.
    await new HttpClient(port).get('/health');
    const signalledMs = performance.now();
    child.signal(signal);
    await untilRefused(port);
    begun.write('\r\n');
    expect(await begun.ended()).toMatch(/^HTTP\/1\.1 503 [^]*connection: close[^]*"CACHE_ERR_NOT_READY"/i);
    accepted.write(BODY);
    expect(await accepted.ended()).toMatch(/HTTP\/1\.1 201 Created\r\n[^]*"status":"OK"/);
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
    expect(performance.now() - signalledMs).toBeLessThan(PROMPT_MS);
  });
});

describe('closing under load', () => {
  test('as many requests are answered as were accepted', async () => {
    const server = await startTestServer();
    let accepted = 0;
    server.app.server.on('request', () => accepted++);
    const load = new Load(server.port);
    await load.until(3000);
    await server[Symbol.asyncDispose]();
    const connections = await load.ended();
    expect(load.answered).toBe(accepted);
    expect(load.answered).toBe(load.sent);
    expect([...load.statuses].toSorted()).toStrictEqual(['200', '201']);
    for (const { rest } of connections) expect(rest).toBe('');
  });
});

const MISTAKES = [
  { status: 400, env: {}, request: 'DELETE /cache/ HTTP/1.1\r\nhost: test\r\n\r\n' },
  { status: 400, env: {}, request: `${PUT_HEAD}\r\n${'x'.repeat(BODY.length)}` },
  { status: 400, env: {}, request: `GET /cache/${'k'.repeat(300)} HTTP/1.1\r\nhost: test\r\n\r\n` },
  { status: 401, env: { AUTH_TOKEN: 'secret' }, request: 'GET /stats HTTP/1.1\r\nhost: test\r\n\r\n' },
  { status: 429, env: { RATE_LIMIT: '1' }, request: 'GET /docs HTTP/1.1\r\nhost: test\r\n\r\n' },
];

describe.each(MISTAKES)('%#: an answer with status $status', ({ status, env, request }) => {
  const answer = new RegExp(`^HTTP/1\\.1 ${status} [^]*\\r\\n\\r\\n`);
  async function open(port: number): Promise<RawSocket> {
    const raw = await RawSocket.open(port);
    raw.write('GET /health HTTP/1.1\r\nhost: test\r\n\r\n');
    await raw.until(/"status":"OK"/);
    if (status === 429) {
      // RATE_LIMIT lets the first one pass.
      raw.write(request);
      await raw.until(/<\/html>/);
    }
    raw.text = '';
    return raw;
  }

  test('says while the server closes that the connection is closed', async () => {
    const server = await startTestServer(env);
    const raw = await open(server.port);
    const closed = server[Symbol.asyncDispose]();
    raw.write(request);
    expect(await raw.ended()).toMatch(answer);
    expect(raw.text).toMatch(/\r\nconnection: close\r\n/i);
    await closed;
  });

  test('says to a client of HTTP/1.0 whether the connection stays open', async () => {
    await using server = await startTestServer(env);
    const raw = await open(server.port);
    raw.write(request.replace('HTTP/1.1', 'HTTP/1.0').replace('host', 'connection: keep-alive\r\nhost'));
    await raw.until(answer);
    expect(raw.text).toMatch(/\r\nconnection: keep-alive\r\n/i);
    raw.text = '';
    raw.write('GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n');
    expect(await raw.ended()).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('closing while a client is slow to read', () => {
  test('all its answers reach it', async () => {
    const server = await startTestServer();
    await server.client.put('large', 'x'.repeat(100_000));
    const raw = await RawSocket.open(server.port);
    raw.socket.pause();
    let accepted = 0;
    server.app.server.on('request', () => accepted++);
    const asked = 200;
    raw.write('GET /cache/large HTTP/1.1\r\nhost: test\r\n\r\n'.repeat(asked));
    await expect.poll(() => accepted).toBe(asked);
    const closed = server[Symbol.asyncDispose]();
    // Longer than those that rest are given, shorter than those that are slow.
    await delay(1000);
    raw.socket.resume();
    expect((await raw.ended()).split('"status":"OK"')).toHaveLength(asked + 1);
    await closed;
  });
});

describe('SIGTERM under load', () => {
  test('no answer is broken or an error, exit code 0 within 5 s', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '2' } });
    const load = new Load(port);
    await load.until(2000);
    const signalledMs = performance.now();
    child.signal('SIGTERM');
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
    const tookMs = performance.now() - signalledMs;
    const connections = await load.ended();
    console.log(`exit after ${Math.round(tookMs)} ms, ${load.answered} requests answered`);
    expect(tookMs).toBeLessThan(EXIT_DEADLINE_MS);
    expect([...load.statuses].toSorted()).toStrictEqual(['200', '201']);
    for (const { rest } of connections) expect(rest).toBe('');
    expect(load.answered).toBe(load.sent);
  });

  test('a client that never finishes its request does not hold up the end', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const stuck = await RawSocket.open(port);
    stuck.write(`${PUT_HEAD}expect: 100-continue\r\n\r\n`);
    await stuck.until(/100 Continue/);
    const signalledMs = performance.now();
    child.signal('SIGTERM');
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
    expect(performance.now() - signalledMs).toBeLessThan(EXIT_DEADLINE_MS);
    stuck.close();
  });

  test('the same signal from several at once counts as one', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const accepted = await RawSocket.open(port);
    accepted.write(`${PUT_HEAD}expect: 100-continue\r\n\r\n`);
    await accepted.until(/100 Continue/);
    child.signal('SIGTERM');
    await untilRefused(port);
    child.signal('SIGTERM');
    child.signal('SIGINT');
    accepted.write(BODY);
    expect(await accepted.ended()).toMatch(/HTTP\/1\.1 201/);
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
  });
});
