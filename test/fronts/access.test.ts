import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { type Answer, type HttpClient, expectError } from '../support/http-client.ts';
import { startTestServer } from '../support/server.ts';
import { spreadClients } from '../support/spread-clients.ts';

const FRONTS = '4';
/** Between two requests of a client: together they still ask many times as often as they may. */
const PAUSE_MS = 5;

/** Stores the token under `key`. */
function put(client: HttpClient, token: string): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}` };
  return client.call({ method: 'PUT', path: '/kv/key', headers, body: token });
}

describe('RATE_LIMIT over four HTTP threads', () => {
  test('lets through what is set, within 10 %', async () => {
    // So few that even a busy machine asks for more.
    const limit = 60;
    const windows = 3;
    await using server = await startTestServer({ FRONTS, RATE_LIMIT: String(limit) });
    const clients = [...(await spreadClients(server, 2)).values()].flat();
    onTestFinished(() => clients.forEach((client) => client.close()));
    let [passed, refused] = [0, 0];
    // The first request begins the first window.
    const endMs = performance.now() + windows * 1000 - 50;
    const ask = async (client: HttpClient): Promise<void> => {
      while (performance.now() < endMs) {
        const { status } = await client.get('/cache/none');
        if (status === 429) refused++;
        else passed++;
        await delay(PAUSE_MS);
      }
    };
    await Promise.all(clients.map(ask));
    console.log(`RATE_LIMIT=${limit}: ${passed} requests passed in ${windows} s, ${refused} were refused`);
    expect(refused).toBeGreaterThan(0);
    expect(Math.abs(passed / (limit * windows) - 1)).toBeLessThan(0.1);
  });
});

describe('TLS and tokens over four HTTP threads', () => {
  test('hold on each, and can be replaced on each', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvc-fronts-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const certificate = makeCertificate(folder, 'first');
    await using server = await startTestServer({
      FRONTS,
      AUTH_TOKEN: 'secret',
      AUTH_READ_TOKEN: 'reader',
      TLS_CERT_FILE: certificate.certFile,
      TLS_KEY_FILE: certificate.keyFile,
    });
    const clients = [...(await spreadClients(server, 1, certificate.pem)).values()].flat();
    onTestFinished(() => clients.forEach((client) => client.close()));
    for (const client of clients) {
      expectError(await client.get('/cache/key'), 401, 'CACHE_ERR_UNAUTHORIZED');
      expectError(await put(client, 'reader'), 403, 'CACHE_ERR_FORBIDDEN');
      expect([201, 204]).toContain((await put(client, 'secret')).status);
      expect((await client.get('/kv/key', { authorization: 'Bearer reader' })).text).toBe('secret');
    }
    const next = makeCertificate(folder, 'second');
    const tls = { cert: next.pem, key: readFileSync(next.keyFile, 'utf8') };
    server.useAccess({ authToken: 'changed', readToken: undefined, tls });
    for (const client of clients) {
      await expect.poll(async () => (await put(client, 'changed')).status).toBe(204);
      expectError(await put(client, 'secret'), 401, 'CACHE_ERR_UNAUTHORIZED');
    }
    // Only who trusts the new certificate can connect, whichever thread answers.
    const later = [...(await spreadClients(server, 1, next.pem)).values()].flat();
    expect(later).toHaveLength(clients.length);
    later.forEach((client) => client.close());
  });
});
